"""usage: commerce_demo.py: sales, logs and catalog of a shop from a CSV file, an API and MongoDB, to marts and reports.

An HTTP server here pages the sample log, and turns the first request away; a server that speaks MongoDB's wire
protocol has the catalog, if it is installed. `sluice run` reads the three, dbt builds and tests the marts, and the
reports are shown.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import duckdb
from rich.console import Console
from rich.table import Table
from sluice.cli.console import wide_console

from tests.live.servers import TOOLS, mongodb

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


class LogApi(BaseHTTPRequestHandler):
    """Pages of the sample log, a line a record, with a `Link` to the next; it throttles the first request."""

    lines: tuple[str, ...] = ()
    throttled = False

    def do_GET(self) -> None:
        """Answer with a page, as the query's `page` says."""
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._answer(401, {}, "")
        elif not LogApi.throttled:
            LogApi.throttled = True
            self._answer(429, {"Retry-After": "1"}, "")
        else:
            start = PAGE * int(parse_qs(urlsplit(self.path).query).get("page", ["0"])[0])
            more = {"Link": f'</v1/logs?page={start // PAGE + 1}>; rel="next"'}
            page = self.lines[start : start + PAGE]
            self._answer(200, more if start + PAGE < len(self.lines) else {}, "\n".join(page))

    def _answer(self, status: int, headers: dict[str, str], body: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        content = body.encode()
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing of each request."""


@contextmanager
def log_api() -> Iterator[str]:
    """Serve the sample log on this machine; yield the address of its first page, as a job's source."""
    LogApi.lines = tuple((SAMPLES / "logs/web.log").read_text().splitlines())
    with ThreadingHTTPServer(("127.0.0.1", 0), LogApi) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1/logs#token=SHOP_API_TOKEN"
        server.shutdown()


@contextmanager
def catalog(console: Console) -> Iterator[str]:
    """Serve the sample catalog from MongoDB, if there is one; yield a job's source, else that of the file."""
    if not (TOOLS.parent / "mongodb").exists():
        console.print("catalog: the file, because MongoDB's emulator is not here (scripts/tools mongodb)")
        yield str(SAMPLES / "catalog.json")
        return
    import pymongo

    with tempfile.TemporaryDirectory(prefix="mongodb") as folder, mongodb(Path(folder)) as url:
        documents = json.loads((SAMPLES / "catalog.json").read_text())
        with pymongo.MongoClient[dict[str, Any]](url) as client:
            client.shop.products.insert_many(documents)
        yield f"{url}/shop.products"


def ingest(console: Console, job: str, source: str) -> None:
    """Run a job, and print what came of its records."""
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
    console.print(f"  read {figures['read']} = {counted}; salvaged {figures['repaired']}")


def build(console: Console) -> None:
    """Let dbt build and test the models of commerce."""
    console.print("[bold]scripts/dbt build --select commerce[/]")
    command = [str(TOOLS.parent / "dbt/bin/dbt"), "--quiet", "--log-level-file=none", "build"]
    command += ["--select", "commerce", "--project-dir", "dbt", "--profiles-dir", "dbt"]
    target = OUT.absolute() / "dbt"
    environment = {**os.environ, "SLUICE_DBT_TARGET": "duckdb", "SLUICE_DUCKDB": str(WAREHOUSE.absolute())}
    if subprocess.run([*command, "--target-path", str(target)], env=environment, check=False).returncode:
        sys.exit("dbt: a model or a test failed")
    results = json.loads((target / "run_results.json").read_text())["results"]
    kinds = [each["unique_id"].split(".")[0] for each in results]
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
