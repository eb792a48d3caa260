"""The models of the latest state: their SQL runs on DuckDB, with the calls of dbt's macros replaced."""

from __future__ import annotations

import re
from dataclasses import replace

import duckdb
import pytest
import yaml
from sluice.codegen.dbt_latest import has_latest, latest_name, latest_sql, latest_yaml
from sluice.contracts import Contract, Property

ADDED = ("_extra", "_event_id", "_segment_id", "_ingested_at")
CONTRACT = Contract(
    "pay.ment",
    "pays",
    "pay",
    "1",
    "shop",
    "Money.",
    (
        Property("id", "string", required=True, unique=True),
        Property("shop", "string", required=True, unique=True),
        Property("at", "timestamp", required=True),
        Property("amount", "integer"),
        Property("tags", "array", items=Property("tag", "string")),
        Property("buyer", "object", properties=(Property("name", "string"),)),
    ),
    "at",
    "properties",
)
SELECTED = ("id", "shop", '"at" as at', "amount", "tags", "buyer.name as buyer_name", *ADDED)


def run(contract: Contract, *rows: tuple[str, str, str, int, str, str]) -> list[tuple[object, ...]]:
    """Return id, shop and amount of the latest; rows are id, shop, at, amount, time of the line and segment."""
    values = {
        f"{contract.domain}__pay_ment_columns()": ", ".join(SELECTED),
        "source('shop', 'pays')": "pays",
        "source('shop', '_segments')": "_segments",
        "loaded_before_run('shop', 'at')": "true",
        "loaded_before_run('shop', '_ingested_at')": "true",
        "any_partition('minute')": "true",
    }
    sql = re.sub(r"\{\{ (.*?) \}\}", lambda call: values[call[1]], latest_sql("shop", contract))
    with duckdb.connect() as connection:
        connection.execute(
            'create table pays (id text, shop text, "at" timestamp, amount int, _event_id text, _segment_id text, '
            "_ingested_at timestamp, _extra text, tags text[], buyer struct(name text))"
        )
        connection.execute("create table _segments (segment_id text, path text)")
        connection.executemany(
            'insert into pays (id, shop, "at", amount, _ingested_at, _segment_id) values (?, ?, ?, ?, ?, ?)',
            rows,
        )
        for name in {row[5] for row in rows}:
            connection.execute("insert into _segments values (?, ?)", (name, f"files/pay_{name}.json"))
        return connection.sql(f"select id, shop, amount from ({sql}) order by all").fetchall()


EARLY, LATE = "2025-02-08 13:09:00", "2025-02-08 13:09:00.000001"


@pytest.mark.parametrize(
    ("rows", "amount"),
    [
        (
            [
                ("a", "x", LATE, 1, "2026-01-01 00:00:00.000001", "0001"),
                ("a", "x", EARLY, 2, "2026-01-01 00:00:00.000002", "0002"),
            ],
            1,
        ),
        (
            [
                ("a", "x", EARLY, 1, "2026-01-01 00:00:00.000002", "0001"),
                ("a", "x", EARLY, 2, "2026-01-01 00:00:00.000001", "0002"),
            ],
            2,
        ),
        (
            [
                ("a", "x", EARLY, 1, "2026-01-01 00:00:00.000002", "9999"),
                ("a", "x", EARLY, 2, "2026-01-01 00:00:00.000001", "10000"),
            ],
            2,
        ),
        (
            [
                ("a", "x", EARLY, 1, "2026-01-01 00:00:00.000001", "0001"),
                ("a", "x", EARLY, 2, "2026-01-01 00:00:00.000002", "0001"),
            ],
            2,
        ),
    ],
    ids=["event time", "later segment", "longer number", "later line"],
)
def test_latest_event_of_a_key_is_chosen(
    rows: list[tuple[str, str, str, int, str, str]], amount: int
) -> None:
    assert run(CONTRACT, *rows) == run(CONTRACT, *reversed(rows)) == [("a", "x", amount)]


def test_each_key_has_one_row() -> None:
    rows = [
        ("a", "x", EARLY, 1, "2026-01-01 00:00:00.000001", "0001"),
        ("a", "y", EARLY, 2, "2026-01-01 00:00:00.000002", "0001"),
        ("b", "x", LATE, 3, "2026-01-01 00:00:00.000003", "0002"),
    ]
    assert run(CONTRACT, *rows) == [("a", "x", 1), ("a", "y", 2), ("b", "x", 3)]


def test_without_event_time_the_later_segment_is_chosen() -> None:
    rows = [
        ("a", "x", LATE, 1, "2026-01-01 00:00:00.000001", "0001"),
        ("a", "x", EARLY, 2, "2026-01-01 00:00:00.000002", "0002"),
    ]
    assert run(replace(CONTRACT, event_time=None), *rows) == [("a", "x", 2)]


def test_model_is_described_and_tested() -> None:
    (model,) = yaml.safe_load(latest_yaml("shop", [CONTRACT]))["models"]
    assert (model["name"], latest_name(CONTRACT)) == ("pay_ment_latest", "pay_ment_latest")
    assert model["data_tests"] == [{"unique_together": {"arguments": {"columns": ["id", "shop"]}}}]
    assert [column["name"] for column in model["columns"]] == [name.rpartition(" ")[2] for name in SELECTED]
    assert model["columns"][5]["description"] == "{{ doc('shop__pay_ment__buyer_name') }}"


@pytest.mark.parametrize(("identity", "has"), [("content", False), ("delivery", False), ("properties", True)])
def test_only_contracts_with_keys_have_a_latest(identity: str, has: bool) -> None:
    assert has_latest(replace(CONTRACT, identity=identity)) is has  # type: ignore[arg-type]  # parametrised
