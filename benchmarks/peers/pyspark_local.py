"""PySpark in local mode, two threads, with the same duties as far as it has them.

`from_json` reads every value as text, so a number is compared with its rule exactly; it cannot tell a number
from a string that looks like one. Tables are Parquet folders with typed columns.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.measurement.outcome import (
    TABLES,
    Outcome,
    dead_letters_outcome,
    files_outcome,
    main,
    windows_outcome,
)

UUID = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
NUMBER = r"^-?\d+(\.\d+)?([eE][+-]?\d+)?$"
MONEY = r"^-?(0|[1-9]\d{0,28})(\.\d{1,9})?$"
WHOLE = r"^-?(0|[1-9]\d{0,18})$"
TIME = r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:?\d\d)?$"
STATUS = ("pending", "processing", "shipped", "delivered")
REASON = ("restock", "sale", "return", "damage")
ACTIVITY = ("login", "logout", "view_product", "add_to_cart", "remove_from_cart")
SHAPE = """event_type string, order_id string, customer_id string, order_date string, status string,
items array<struct<product_id string, product_name string, quantity string, price string>>,
shipping_address struct<street string, city string, country string>, total_amount string, inventory_id string,
product_id string, warehouse_id string, quantity_change string, reason string, timestamp string,
user_id string, activity_type string, ip_address string, user_agent string,
metadata struct<session_id string, platform string>, _corrupt_record string"""
ITEMS = """transform(items, x -> named_struct('product_id', x.product_id, 'product_name', x.product_name,
'quantity', cast(x.quantity as bigint), 'price', cast(x.price as decimal(38, 9)))) as items"""
COLUMNS = {
    "order": (
        *("order_id", "customer_id", "ts as order_date", "status", ITEMS, "shipping_address"),
        "cast(total_amount as decimal(38, 9)) as total_amount",
    ),
    "inventory": (
        *("inventory_id", "product_id", "warehouse_id", "cast(quantity_change as bigint) as quantity_change"),
        *("reason", "ts as timestamp"),
    ),
    "user_activity": ("user_id", "activity_type", "ip_address", "user_agent", "ts as timestamp", "metadata"),
}


def _because(code: str, path: str, holds: str) -> str:
    return (
        f"case when {holds} then named_struct('code', '{code}', 'path', '{path}', 'got', string({path})) end"
    )


def _text(path: str) -> list[str]:
    return [_because("missing", path, f"{path} is null")]


def _quoted(name: str) -> str:
    """Return whether a property of the line is a JSON string, which its parsed text no longer tells."""
    return f"""value rlike r'"{name}"\\s*:\\s*"'"""


def _free_text(path: str) -> list[str]:
    name = path.rpartition(".")[2]
    return [*_text(path), _because("type", path, f"{path} is not null and not {_quoted(name)}")]


def _matches(path: str, pattern: str, code: str) -> list[str]:
    return [*_text(path), _because(code, path, f"not {path} rlike r'{pattern}'")]


def _number(path: str, pattern: str, otherwise: str) -> list[str]:
    return [
        *_matches(path, NUMBER, "type"),
        _because(otherwise, path, f"{path} rlike r'{NUMBER}' and not {path} rlike r'{pattern}'"),
    ]


def _enum(path: str, values: tuple[str, ...]) -> list[str]:
    return [*_text(path), _because("enum", path, f"{path} not in {values}")]


def _time(path: str) -> list[str]:
    wrong = f"{path} is not null and (not {path} rlike r'{TIME}' or try_cast({path} as timestamp) is null)"
    return [*_text(path), _because("format", path, wrong)]


ITEM = [
    *_matches("x.product_id", UUID, "format"),
    *_text("x.product_name"),
    *_number("x.quantity", WHOLE, "type"),
    *_number("x.price", MONEY, "range"),
]
RULES = {
    "order": [
        *_matches("order_id", UUID, "format"),
        *_matches("customer_id", UUID, "format"),
        *_time("order_date"),
        *_enum("status", STATUS),
        _because("missing", "items", "items is null"),
        *(rule for part in ("street", "city", "country") for rule in _free_text(f"shipping_address.{part}")),
        *_number("total_amount", MONEY, "range"),
    ],
    "inventory": [
        *(
            rule
            for name in ("inventory", "product", "warehouse")
            for rule in _matches(f"{name}_id", UUID, "format")
        ),
        *_number("quantity_change", WHOLE, "type"),
        _because("range", "quantity_change", "try_cast(quantity_change as bigint) not between -100 and 100"),
        *_enum("reason", REASON),
        *_time("timestamp"),
    ],
    "user_activity": [
        *_matches("user_id", UUID, "format"),
        *_enum("activity_type", ACTIVITY),
        *_free_text("ip_address"),
        *_free_text("user_agent"),
        *_time("timestamp"),
        *_matches("metadata.session_id", UUID, "format"),
        *_enum("metadata.platform", ("web", "mobile", "tablet")),
    ],
}


FITS = {
    "order": [
        f"order_id rlike r'{UUID}' and customer_id rlike r'{UUID}' and status in {STATUS}",
        f"order_date rlike r'{TIME}' and total_amount rlike r'{MONEY}'",
        *(
            f"shipping_address.{name} is not null and {_quoted(name)}"
            for name in ("street", "city", "country")
        ),
        f"""forall(items, x -> x.product_id rlike r'{UUID}' and x.product_name is not null
            and x.quantity rlike r'{WHOLE}' and x.price rlike r'{MONEY}')""",
    ],
    "inventory": [
        f"inventory_id rlike r'{UUID}' and product_id rlike r'{UUID}' and warehouse_id rlike r'{UUID}'",
        f"quantity_change rlike r'{WHOLE}' and try_cast(quantity_change as bigint) between -100 and 100",
        f"reason in {REASON} and timestamp rlike r'{TIME}'",
    ],
    "user_activity": [
        f"user_id rlike r'{UUID}' and activity_type in {ACTIVITY} and timestamp rlike r'{TIME}'",
        *(f"{name} is not null and {_quoted(name)}" for name in ("ip_address", "user_agent")),
        f"metadata.session_id rlike r'{UUID}' and metadata.platform in ('web', 'mobile', 'tablet')",
    ],
}


def fits() -> str:
    """Return the expression that is true for accepted events; only the others are asked for reasons."""
    arms = " ".join(f"when '{name}' then {' and '.join(rules)}" for name, rules in FITS.items())
    return f"coalesce(_corrupt_record is null and ts is not null and case event_type {arms} end, false)"


def violations() -> str:
    """Return the expression that lists all violations of a row; an empty list is an accepted event."""
    arms = {name: f"array({', '.join(rules)})" for name, rules in RULES.items()}
    arms["order"] = f"concat({arms['order']}, flatten(transform(items, x -> array({', '.join(ITEM)}))))"
    arms["order"] = (
        f"case when items is null then array({', '.join(RULES['order'])}) else {arms['order']} end"
    )
    cases = " ".join(f"when event_type = '{name}' then {arm}" for name, arm in arms.items())
    broken = _because("not_json", "value", "true")
    unknown = _because("unknown_type", "event_type", "true")
    return f"""filter(case when _corrupt_record is not null then array({broken}) {cases}
      else array({unknown}) end, v -> v is not null)"""


def _session(out: Path) -> Any:
    from pyspark.sql import SparkSession

    settings = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.memory": "8g",
        "spark.sql.shuffle.partitions": "4",
        "spark.sql.session.timeZone": "UTC",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.local.dir": str(out / "spark"),
    }
    builder: Any = SparkSession.builder.master("local[2]")
    for key, value in settings.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def run(source: Path, out: Path) -> None:
    """Do all the work."""
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    from pyspark.sql import functions as f

    spark = _session(out)
    judged = (
        spark.read.text(str(source))
        .withColumn("e", f.from_json("value", SHAPE))
        .select("value", "e.*")
        .withColumn("ts", f.expr("try_cast(coalesce(order_date, timestamp) as timestamp)"))
        .withColumn("ok", f.expr(fits()))
        .cache()
    )
    good = judged.filter("ok").dropDuplicates(["value"]).cache()
    good.select("value", "event_type", f.date_format("ts", "yyyyMMddHHmm").alias("minute")).repartition(
        2, "event_type", "minute"
    ).write.partitionBy("event_type", "minute").text(str(out / "files"))
    for event_type, table in TABLES.items():
        rows = good.filter(f.col("event_type") == event_type).selectExpr(*COLUMNS[event_type])
        rows.write.parquet(str(out / "tables" / table))
    good.groupBy("event_type", f.window("ts", "10 seconds")).count().selectExpr(
        "event_type", "window.start as window_start", "window.end as window_end", "count as events"
    ).write.parquet(str(out / "tables" / "event_counts"))
    judged.filter("not ok").withColumn("violations", f.expr(violations())).selectExpr(
        "value as payload",
        f"if(_corrupt_record is null and event_type in {tuple(TABLES)}, event_type, 'unknown') as event_type",
        "violations",
    ).write.json(str(out / "dead_letters"))
    spark.stop()


def tally(out: Path) -> Outcome:
    """Read the outputs back, with DuckDB."""
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")

    def query(select: str, folder: str) -> list[Any]:
        return connection.sql(f"select {select} from '{out}/{folder}'").fetchall()

    return {
        **files_outcome(out / "files", re.compile(r"event_type=(?P<type>\w+)/minute=(?P<minute>\d+)/part-")),
        "rows": {
            event_type: query("count(*)", f"tables/{table}/*.parquet")[0][0]
            for event_type, table in TABLES.items()
        },
        **windows_outcome(
            query(
                "event_type, strftime(window_start, '%Y-%m-%dT%H:%M:%SZ'), events",
                "tables/event_counts/*.parquet",
            )
        ),
        **dead_letters_outcome(query("event_type, [v.code for v in violations]", "dead_letters/*.json")),
    }


if __name__ == "__main__":
    main(run, tally)
