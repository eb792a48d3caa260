"""usage: commerce_demo.py: sales, logs and catalog of a shop from a CSV file, an API and MongoDB, to marts and reports.

An HTTP server serves the sample log in pages, and throttles the first request. A server that speaks MongoDB's wire
protocol has the catalog, if it is installed. `sluice run` reads the three, dbt builds and tests the marts, and the
reports are printed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import duckdb
from rich.console import Console
from rich.table import Table
from sluice.cli.console import wide_console

from devservers import http_api, mongodb
from devservers.errors import MissingTool
from devservers.http_api import HttpRequest, HttpResponse
from devservers.tools import TOOLS

ROOT = Path(__file__).parents[1]
OUT = Path("out/commerce")
WAREHOUSE = OUT / "warehouse.duckdb"
SAMPLES = ROOT / "examples/commerce"
TOKEN = "demo"
PAGE = 20

REPORTS = {
    "daily revenue (fct_daily_product_revenue)": """
        select sale_date, product_id, category, sales, units_sold, units_returned, revenue
        from marts.fct_daily_product_revenue order by sale_date desc, revenue desc limit 10
    """,
    "top products by category (top_products_by_category)": """
        select category, revenue_rank, product_id, product_name, units, revenue
        from reporting.top_products_by_category order by category, revenue_rank
    """,
    "most active users (customer_activity)": """
        select activity_rank, user_id, events, most_common_event_type, sales, revenue
        from reporting.customer_activity where activity_rank <= 5 order by activity_rank, user_id
    """,
    "event types (event_type_activity)": "from reporting.event_type_activity order by frequency_rank",
    "rows and revenue, layer by layer (reconciliation)": """
        select figure, from_relation, from_value::decimal(18, 2) as was, explained_value::decimal(18, 2) as explained,
               to_relation, to_value::decimal(18, 2) as is_now, difference::decimal(18, 2) as difference
        from reporting.reconciliation where from_relation in ('_segments', 'raw_sales_data', 'stg_commerce__sales')
    """,
}


class LogApi:
    """Pages of the sample log, a line a record, with a `Link` to the next; it throttles the first request."""

    def __init__(self) -> None:
        """Read the log."""
        self._lines = (SAMPLES / "logs/web.log").read_text().splitlines()
        self._throttled = False

    def respond(self, request: HttpRequest) -> HttpResponse:
        """Answer with the page that the query's `page` names."""
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return HttpResponse(401)
        if not self._throttled:
            self._throttled = True
            return HttpResponse(429, headers={"Retry-After": "1"})
        page = int(request.query.get("page", "0"))
        lines = self._lines[page * PAGE : (page + 1) * PAGE]
        following = {"Link": f'</v1/logs?page={page + 1}>; rel="next"'}
        is_last = (page + 1) * PAGE >= len(self._lines)
        return HttpResponse(200, "\n".join(lines).encode(), {} if is_last else following)


@contextmanager
def log_api() -> Iterator[str]:
    """Serve the sample log on this machine; yield the address of its first page, as a job's source."""
    with http_api.start(LogApi().respond) as server:
        yield f"{server.url}/v1/logs#token=SHOP_API_TOKEN"


@contextmanager
def catalog(console: Console) -> Iterator[str]:
    """Serve the sample catalog from MongoDB if it is installed; yield a job's source, otherwise that of the file."""
    file = SAMPLES / "catalog.json"
    with ExitStack() as running:
        try:
            folder = running.enter_context(tempfile.TemporaryDirectory(prefix="mongodb"))
            server = running.enter_context(mongodb.start(Path(folder)))
        except MissingTool:
            console.print("catalog: the file, because MongoDB is not installed (scripts/tools mongodb)")
            yield str(file)
            return
        import pymongo

        with pymongo.MongoClient[dict[str, Any]](server.address) as client:
            client.shop.products.insert_many(json.loads(file.read_text()))
        yield f"{server.address}/shop.products"


def ingest(console: Console, job: str, source: str) -> None:
    """Run a job, and print its figures."""
    console.print(f"[bold]sluice run jobs/{job}.yaml --source '{source}'[/]", soft_wrap=True)
    report = OUT / f"{job}.json"
    command = [sys.executable, "-m", "sluice", "run", f"jobs/{job}.yaml", f"--source={source}"]
    environment = {**os.environ, "SHOP_API_TOKEN": TOKEN}
    done = subprocess.run(
        [*command, f"--report={report}"], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr)
    figures = json.loads(report.read_text())
    counted = " + ".join(f"{name} {figures[name]}" for name in ("accepted", "duplicates", "rejected"))
    console.print(f"  read {figures['read']} = {counted}; repaired {figures['repaired']}")


def build(console: Console) -> None:
    """Build and test the models of commerce with dbt."""
    console.print("[bold]scripts/dbt build --select commerce[/]")
    command = [str(TOOLS / "dbt/bin/dbt"), "--quiet", "--log-level-file=none", "build"]
    command += ["--select", "commerce", "--project-dir", "dbt", "--profiles-dir", "dbt"]
    target = OUT.absolute() / "dbt"
    environment = {**os.environ, "SLUICE_DBT_TARGET": "duckdb", "SLUICE_DUCKDB": str(WAREHOUSE.absolute())}
    command += ["--target-path", str(target), "--log-path", str(target / "logs")]
    if subprocess.run(command, env=environment, check=False).returncode:
        sys.exit("dbt: a model or a test failed")
    results = json.loads((target / "run_results.json").read_text())["results"]
    kinds = [result["unique_id"].split(".")[0] for result in results]
    tests = kinds.count("test") + kinds.count("unit_test")
    console.print(f"  {kinds.count('model')} models built, {tests} tests passed")


def show(console: Console) -> None:
    """Print the reports."""
    with duckdb.connect(str(WAREHOUSE), read_only=True) as connection:
        for title, sql in REPORTS.items():
            answer = connection.sql(sql)
            table = Table(*answer.columns, title=title)
            for row in answer.fetchall():
                table.add_row(*("" if value is None else str(value) for value in row))
            console.print(table)


def main() -> None:
    """Run the demonstration."""
    console = wide_console()
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    ingest(console, "commerce_sales", "examples/commerce/sales/*.csv")
    with log_api() as source:
        ingest(console, "commerce_logs", source)
    with catalog(console) as source:
        ingest(console, "commerce_catalog", source)
    build(console)
    show(console)
    console.print(f"warehouse: {WAREHOUSE}")


if __name__ == "__main__":
    main()
