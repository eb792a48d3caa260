"""The jobs of the commerce requirements on their committed samples: exact figures, and twice the same."""

from __future__ import annotations

import json
import runpy
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from devservers.tools import ROOT
from tests.live.job_fixture import figures, rows, run_job


def test_sales_files_give_the_expected_figures_and_rows_twice(tmp_path: Path) -> None:
    source = ROOT / "examples/commerce/sales/*.csv"
    report = run_job("commerce_sales", source, tmp_path)
    assert figures(report) == (93, 85, 2, 6, True)
    assert report["rejections"] == {"format": 1, "missing": 1, "not_csv": 2, "type": 2}
    assert figures(run_job("commerce_sales", source, tmp_path)) == (93, 0, 87, 6, True)
    query = "select count(*), count(distinct sale_id), sum(amount)::decimal(18, 2)::text from raw_sales_data"
    assert rows(tmp_path, query) == [(85, 85, "9500.90")]
    query = "select source.line, code, violations[1].expected, payload from dead_letters"
    dead_letters = rows(tmp_path, f"{query} order by source.uri, source.line")
    assert [(line, code) for line, code, _, _ in dead_letters] == [
        (33, "type"),
        (43, "format"),
        (53, "missing"),
        (58, "not_csv"),
        (61, "not_csv"),
        (27, "type"),
    ]
    assert dead_letters[3][2:] == ("9 fields, as in the header", "S2003,P100,U1,1,19.90")
    assert dead_letters[4][2] == "fields whose quotes are closed, and doubled within"
    note = "coalesce(_extra->>'$.note', _extra->>'$.Note')"
    query = f"select {note} from raw_sales_data where sale_id in ('S1004', 'L1') order by sale_id"
    assert rows(tmp_path, query) == [("Geschenk f\u00fcr Zo\u00eb",), ('left at\nthe "front" desk',)]
    query = "select quantity, amount < 0, unit_price is null from raw_sales_data where sale_id in ('S1009', 'S1015')"
    assert sorted(rows(tmp_path, query)) == [(-1, True, False), (1, None, True)]


def test_rejected_rows_are_redelivered_without_their_file(tmp_path: Path) -> None:
    source = tmp_path / "sales.csv"
    header = "Sale-ID;product_id;customer_id;quantity;sale_date;note"
    day = (datetime.now(UTC) + timedelta(days=300)).date().isoformat()
    source.write_text(f"{header}\nS1;P1;U1;1;{day};f\u00fcr Zo\u00eb\nS2;P1\n", "windows-1252")
    report = run_job("commerce_sales", source, tmp_path, flags=["--max-rejected=100%"])
    assert figures(report) == (2, 0, 0, 2, True)
    source.unlink()
    source_url = f"dead-letters:{tmp_path}/dead_letters"
    flags = ["--windows.max-skew=3650d"]
    assert figures(run_job("commerce_sales", source_url, tmp_path, flags=flags)) == (2, 1, 0, 1, True)
    query = "select sale_id, user_id, sale_date::date::text, _extra->>'$.note' from raw_sales_data"
    assert rows(tmp_path, query) == [("S1", "U1", day, "f\u00fcr Zo\u00eb")]
    query = (
        "select code, layout.delimiter, layout.encoding, layout.columns[1] from dead_letters order by code"
    )
    assert rows(tmp_path, query) == [
        ("in_future", ";", "cp1252", "Sale-ID"),
        ("not_csv", ";", "cp1252", "Sale-ID"),
    ]


def test_malformed_logs_are_repaired_and_give_the_expected_figures_twice(tmp_path: Path) -> None:
    source = ROOT / "examples/commerce/logs"
    report = run_job("commerce_logs", source, tmp_path)
    assert figures(report) == (81, 74, 1, 6, True)
    assert report["repaired"] == 12
    assert report["rejections"] == {"enum": 1, "missing": 2, "not_json": 3}
    assert figures(run_job("commerce_logs", source, tmp_path)) == (81, 0, 75, 6, True)
    query = "unnest(from_json(_extra->'$._repaired.rules', '[\"varchar\"]')) as rule, count(*)"
    assert dict(rows(tmp_path, f"select {query} from customer_logs group by rule")) == {
        "bare_words": 1,
        "cut_off": 1,
        "escaped": 1,
        "key_value": 2,
        "line_time": 1,
        "missing_braces": 3,
        "missing_commas": 1,
        "single_quotes": 2,
        "text_around": 2,
        "trailing_commas": 1,
    }
    query = "select count(*) from customer_logs where product_id is null or user_id is null or device is null"
    assert rows(tmp_path, query) == [(0,)]
    dead_letters = dict(
        rows(tmp_path, "select source.\"offset\", payload from dead_letters where code = 'not_json'")
    )
    content = (source / "web.log").read_bytes()
    assert all(content[at:].startswith(payload.encode() + b"\n") for at, payload in dead_letters.items())


def test_catalog_gives_the_expected_figures_and_rows_twice(tmp_path: Path) -> None:
    source = ROOT / "examples/commerce/catalog.json"
    assert figures(run_job("commerce_catalog", source, tmp_path)) == (9, 8, 0, 1, True)
    assert figures(run_job("commerce_catalog", source, tmp_path)) == (9, 0, 8, 1, True)
    query = "select distinct epoch_us(snapshot_at) // 1000 from product_catalog"
    assert rows(tmp_path, query) == [(int(source.stat().st_mtime * 1000),)]
    query = "select product_name, price::text, active, _extra->>'$._id' from product_catalog where product_id = 'P103'"
    assert rows(tmp_path, query) == [("Caf\u00e9 press", "24.950000000", True, "507f1f77bcf86cd799439003")]


def test_user_log_script_prints_aggregates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert figures(run_job("user_logs", ROOT / "examples/user_logs/user_logs.json", tmp_path)) == (
        47,
        41,
        1,
        5,
        True,
    )
    query = "select user_id, timestamp::text, event_type, product_id, device, category from customer_logs"
    assert rows(tmp_path, f"{query} where user_id = 'U123'") == [
        ("U123", "2025-01-10 10:00:00+00", "view", "P456", "mobile", "electronics")
    ]
    main = runpy.run_path(str(ROOT / "examples/user_logs/aggregate.py"))["main"]
    main(str(tmp_path / "w.duckdb"), str(tmp_path / "aggregated_logs.csv"))
    written = (tmp_path / "aggregated_logs.csv").read_text().splitlines()
    assert written[0] == "metric,name,events"
    by_type = [line.split(",") for line in written[1:] if line.startswith("events_by_type")]
    assert sum(int(events) for _, _, events in by_type) == 41
    assert {name for _, name, _ in by_type} == {"click", "purchase", "view"}
    most = [line.split(",") for line in written[1:] if line.startswith("most_active_user")]
    query = "select user_id, count(*) from customer_logs group by user_id order by 2 desc, 1"
    counted = rows(tmp_path, query)
    assert [(name, int(events)) for _, name, events in most] == [
        row for row in counted if row[1] == counted[0][1]
    ]


def test_reporting_metrics_descriptions_match_terraform() -> None:
    table = json.loads((ROOT / "terraform/schemas/reporting_metrics.json").read_text())
    (model,) = yaml.safe_load((ROOT / "dbt/models/commerce/reporting/reporting_metrics.yml").read_text())[
        "models"
    ]
    assert model["description"] == table["description"]
    assert [(column["name"], column["description"]) for column in model["columns"]] == [
        (field["name"], field["description"]) for field in table["schema"]["fields"]
    ]
