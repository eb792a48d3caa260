"""Exports of state: each word of each export is kept once, and a rebuilt warehouse is equal to the first one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from devservers.sluice_command import sluice

HEADER = "sale_id,product_id,user_id,quantity,amount,sale_date\n"


def export(folder: Path, name: str, day: int, *amounts: float) -> None:
    """Write the export of a day of January: the sale S1 with each of `amounts`, one after the other."""
    path = folder / name
    path.write_text(HEADER + "".join(f"S1,P1,U1,1,{amount},2025-01-08\n" for amount in amounts))
    os.utime(path, (day * 86400, day * 86400))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "exports").mkdir()
    return tmp_path


def command(folder: Path, verb: str, warehouse: str, *flags: str) -> dict[str, Any]:
    """Run a command on the job of the sales; return its report."""
    places = [f"--files={folder}/files", f"--dead-letters={folder}/dead_letters"]
    places += [f"--warehouse=duckdb:///{folder}/{warehouse}", f"--report={folder}/report.json"]
    done = sluice(verb, "jobs/commerce_sales.yaml", *places, *flags)
    assert done.code == 0, done
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    assert report["reconciled"]
    return report


def run(folder: Path) -> tuple[int, int]:
    """Read all exports; return the accepted rows and the duplicates."""
    report = command(folder, "run", "w.duckdb", f"--source={folder}/exports/*.csv")
    return report["accepted"], report["duplicates"]


def rows(warehouse: Path) -> list[tuple[Any, ...]]:
    """Return all rows of the table, in the order of the exports."""
    with duckdb.connect(str(warehouse)) as connection:
        columns = (
            "epoch_us(_ingested_at), epoch(_arrived_at) // 86400, amount::double, * exclude (_segment_id)"
        )
        query = f"select {columns} from raw_sales_data order by _arrived_at, _source, _position"
        return connection.execute(query).fetchall()


def words(warehouse: Path) -> list[tuple[float, float]]:
    return [(row[1], row[2]) for row in rows(warehouse)]


def test_return_to_an_earlier_value_is_kept_and_rebuilt(folder: Path) -> None:
    export(folder / "exports", "c.csv", 1, 10, 10)
    export(folder / "exports", "b.csv", 2, 12)
    assert run(folder) == (2, 1)
    export(folder / "exports", "a.csv", 3, 10)
    assert run(folder) == (1, 3)
    assert run(folder) == (0, 4)
    export(folder / "exports", "a.csv", 4, 10)
    assert run(folder) == (1, 3)
    assert words(folder / "w.duckdb") == [(1, 10), (2, 12), (3, 10), (4, 10)]
    command(folder, "load", "rebuilt.duckdb")
    assert rows(folder / "rebuilt.duckdb") == rows(folder / "w.duckdb")


def _files(folder: Path) -> Iterator[Path]:
    return folder.glob("files/sale/2025/*/*/*/*/*.json")


def test_lines_of_one_shard_are_in_the_order_of_the_exports(folder: Path) -> None:
    for day, name in ((3, "a"), (1, "b"), (2, "c")):
        export(folder / "exports", f"{name}.csv", day, day, day + 0.5)
    run(folder)
    times = [
        [line.split('"arrived_at":"')[1][:10] for line in file.read_text().splitlines()]
        for file in _files(folder)
    ]
    assert sum(map(len, times)) == 6
    assert all(shard == sorted(shard) for shard in times)
