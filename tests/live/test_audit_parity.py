"""The comparison of two audits: every kind of difference, in words and in the exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestration.audit.compare import main
from spark.audit.export import TABLES, columns_of, write_table
from spark.audit.names import load_date_of, own_file_name

DAILY = ("2025-10-24", "a.csv", 3, 1, 0.3333333333333333)


def folder(path: Path, *daily: tuple[object, ...]) -> Path:
    for table in TABLES:
        write_table(path, table, daily if table == "mart_audit_daily" else [])
    return path


def compare(left: Path, right: Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(left), str(right)])
    return int(str(ended.value.code))


@pytest.mark.parametrize("rate", [0.3333333333333333, 0.3333333343, 0.3333333324])
def test_rates_within_the_tolerance_are_equal(
    rate: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    left, right = folder(tmp_path / "spark", DAILY), folder(tmp_path / "dbt", (*DAILY[:4], rate))
    assert compare(left, right) == 0
    assert capsys.readouterr().out == "".join(f"{table}: equal\n" for table in TABLES)


@pytest.mark.parametrize(
    ("other", "lines"),
    [
        (
            (*DAILY[:4], 0.3333333344),
            ["error_rate: spark has 0.3333333333333333, dbt has 0.3333333344"],
        ),
        ((*DAILY[:4], None), ["error_rate: spark has 0.3333333333333333, dbt has NULL"]),
        ((*DAILY[:3], 2, DAILY[4]), ["nb_invalid: spark has 1, dbt has 2"]),
    ],
)
def test_difference_names_table_key_column_and_values(
    other: tuple[object, ...], lines: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    left, right = folder(tmp_path / "spark", DAILY), folder(tmp_path / "dbt", other)
    assert compare(left, right) == 1
    shown = [f"  mart_audit_daily: load_date 2025-10-24, file_name a.csv: {line}" for line in lines]
    assert capsys.readouterr().out.splitlines()[:-3] == ["mart_audit_daily: 1 differences", *shown]


def test_row_that_one_side_lacks_is_a_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    left = folder(tmp_path / "spark", DAILY)
    right = folder(tmp_path / "dbt", ("2025-10-24", "b.csv", 0, 0, None))
    assert compare(left, right) == 1
    assert capsys.readouterr().out.splitlines()[:3] == [
        "mart_audit_daily: 2 differences",
        "  mart_audit_daily: load_date 2025-10-24, file_name a.csv: no such row in dbt",
        "  mart_audit_daily: load_date 2025-10-24, file_name b.csv: no such row in spark",
    ]


def test_table_that_cannot_be_compared_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    left, right = folder(tmp_path / "spark", DAILY, DAILY), folder(tmp_path / "dbt", DAILY)
    assert compare(left, right) == 2
    key = "('2025-10-24', 'a.csv')"
    path = left / "mart_audit_daily.csv"
    assert capsys.readouterr().err == f"audit-parity: {path}: expected each key once, got {key} twice\n"
    path.write_text("load_date\n")
    assert compare(left, right) == 2
    columns = ", ".join(columns_of("mart_audit_daily"))
    assert capsys.readouterr().err == (
        f"audit-parity: {path}: expected the columns {columns}, got ['load_date']\n"
    )
    path.unlink()
    assert compare(left, right) == 2
    assert str(path) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "day", "own"),
    [
        ("events_2025-10-24.csv", "2025-10-24", "events_2025-10-24.csv"),
        ("events_20251024.csv.gz", "2025-10-24", "events_20251024.csv"),
        ("events_2025-10-24_orders.csv", "2025-10-24", "orders.csv"),
        ("events_20251024_a_b.csv.gz", "2025-10-24", "a_b.csv"),
        ("events_20251024_a.csv.csv", "2025-10-24", "a.csv.csv"),
        ("transactions_20251024.csv", "2025-10-24", "transactions_20251024.csv"),
        ("events_2025-02-30.csv", None, None),
        ("events_2025-1024.csv", None, None),
        ("events_2025-10-24.csv.bak", None, None),
        ("events_2025-10-24x.csv", None, None),
        ("events.csv", None, None),
        ("Events_20251024.csv", None, None),
    ],
)
def test_name_of_a_daily_file_says_its_day_and_its_own_name(
    name: str, day: str | None, own: str | None
) -> None:
    assert load_date_of(name) is None if day is None else str(load_date_of(name)) == day
    assert own is None or own_file_name(name) == own
