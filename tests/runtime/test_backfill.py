"""A column that was added is filled in the rows that are older, from the event log, through the real command."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from sluice.cli.main import main
from sluice.config.job import load_job
from sluice.config.urls import Url
from sluice.eventlog.log import EventLog
from sluice.eventlog.type_log import TypeLog
from sluice.graph.segment_loader import SegmentLoader
from sluice.retry import RetryPolicy
from sluice.storage import open_store
from sluice.tooling.tables import contracts_of
from sluice.warehouses import open_warehouse

MINUTE = 1_739_020_140
CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: shop-click
version: 1.0.0
domain: shop
schema:
  - name: click
    physicalName: clicks
    properties:
      - {name: at, logicalType: timestamp, required: true}
      - {name: page, logicalType: string}
"""
NEW = "      - {name: price, logicalType: number, physicalType: DECIMAL}\n"
LINES = [
    b'{"at":"2025-02-08T13:09:01Z","price":1.10,"size":7}',
    b'{"at":"2025-02-08T13:09:02Z","page":"a"}',
    b'{"at":"2025-02-08T13:09:03Z","price":"cheap"}',
    b'{"at":"2025-02-08T13:09:04Z","price":null}',
]


@dataclass
class Shop:
    folder: Path

    def write(self, contract: str) -> None:
        (self.folder / "click.odcs.yaml").write_text(contract)

    def load(self, *lines: bytes, files: str = "files", minute: int = MINUTE) -> Path:
        """Append lines to a log, and load them as a run does."""
        job = replace(load_job(str(self.folder / "job.yaml")), files=Url(str(self.folder / files)))
        log = EventLog(open_store(job.files), {"click": TypeLog.of(job.contracts["click"])})
        warehouse = open_warehouse(job.warehouse)
        log.open()
        warehouse.prepare(contracts_of(job))
        segment = log.append("click", minute, 0, lines).segment
        assert segment is not None
        loader = SegmentLoader(warehouse, job.contracts, log, job, lambda: MINUTE + 60.0, RetryPolicy(0))
        loader.compile()
        loader.load(segment)
        return Path(segment.path)

    def sluice(self, command: str, *flags: str) -> int:
        return main([command, str(self.folder / "job.yaml"), *flags])

    def rows(self, columns: str = "page, price::varchar, _extra::varchar") -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.folder / "w.duckdb"), read_only=True) as connection:
            return connection.execute(f'select {columns} from clicks order by "at"').fetchall()


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    made = Shop(tmp_path)
    made.write(CONTRACT)
    (tmp_path / "job.yaml").write_text(
        f"name: shop\ncontracts: {tmp_path}/click.odcs.yaml\nsource: {tmp_path}/none.ndjson\n"
        f"files: {tmp_path}/files\nwarehouse: duckdb:///{tmp_path}/w.duckdb\ndead_letters: {tmp_path}/dead\n"
    )
    return made


def test_column_is_filled_from_extra_exactly_and_once(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    path = shop.load(*LINES)
    shop.write(CONTRACT + NEW)
    assert shop.sluice("tables", "--apply") == 0
    before = shop.rows()
    assert [price for _, price, _ in before] == [None] * 4
    capsys.readouterr()
    assert shop.sluice("load", "--backfill", "price") == 0
    said = "clicks.price: 1 rows filled; 1 stay as they were, since the column does not take their value\n"
    assert capsys.readouterr().out == said
    assert shop.rows() == [(None, "1.100000000", '{"size":7}'), *before[1:]]
    assert before[1:3] == [("a", None, None), (None, None, '{"price":"cheap"}')]
    ids = shop.rows("_segment_id, _ingested_at, _event_id")
    assert len(set(ids)) == 4
    assert shop.sluice("load", "--backfill", "price", "--json") == 0  # there is still one that does not fit
    assert '"rows": 0' in capsys.readouterr().out
    assert shop.rows("_segment_id, _ingested_at, _event_id") == ids
    path.rename(path.with_suffix(".away"))
    assert shop.sluice("load", "--backfill", "price") == 1
    assert capsys.readouterr().err.startswith(
        f"sluice: {path}: expected the file of segment {ids[0][0]}, got none"
    )


def test_rows_that_were_never_loaded_are_none_that_do_not_fit(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    job = shop.folder / "job.yaml"
    job.write_text(job.read_text().replace("duckdb:///", "sqlite:///"))
    shop.load(b'{"at":"2025-02-08T13:08:00Z","page":"first"}', minute=MINUTE - 60)
    with closing(sqlite3.connect(shop.folder / "w.duckdb")) as connection:
        connection.execute("create unique index one_page on clicks (page)")
    rejected = b'{"at":"2025-02-08T13:09:05Z","page":"first","price":5}'  # by the warehouse
    unreadable = b'{"at":"no time","price":"cheap"}'  # never a row
    shop.load(LINES[0], rejected, LINES[2], unreadable)
    shop.write(CONTRACT + NEW)
    assert shop.sluice("tables", "--apply") == 0
    capsys.readouterr()
    assert shop.sluice("load", "--backfill", "price", "--json") == 0
    (filled,) = json.loads(capsys.readouterr().out)
    assert (filled["rows"], filled["unfit"]) == (1, 1)


def test_rows_of_other_logs_are_left_to_their_jobs(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.load(LINES[0])
    moved = shop.load(b'{"at":"2025-02-08T13:10:05Z","price":2}', files="before", minute=MINUTE + 60)
    shop.load(b'{"at":"2025-02-08T13:09:06Z","price":3}', files="other")
    new = shop.folder / "files" / moved.relative_to(shop.folder / "before")
    new.parent.mkdir(parents=True)
    moved.rename(new)
    shop.write(CONTRACT + NEW)
    assert shop.sluice("tables", "--apply") == 0
    capsys.readouterr()
    assert shop.sluice("load", "--backfill", "price", "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == [{"table": "clicks", "column": "price", "rows": 2, "unfit": 0, "other_logs": 1}]
    assert err.endswith(
        f"clicks.price: 1 segments of other event logs than {shop.folder}/files stay as they were; run this with their "
        "jobs as well\n"
    )


def test_what_cannot_be_filled_is_an_error(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.load(LINES[1])
    shop.write(CONTRACT + NEW)
    job = f"{shop.folder}/job.yaml"
    for column, problem in (
        ("colour", f"expected an optional property of the contracts of {job} (page, price), got 'colour'"),
        ("at", f"expected an optional property of the contracts of {job} (page, price), got 'at'"),
        (
            "price",
            f"expected the column clicks.price in the warehouse, got none; run sluice tables {job} --apply first",
        ),
    ):
        assert shop.sluice("load", "--backfill", column) == 2
        assert capsys.readouterr().err == f"sluice: --backfill: {problem}\n"
    assert (
        shop.sluice("load", "--backfill=price", f"--report={shop.folder}/r.json", "--runner=DirectRunner")
        == 2
    )
    assert capsys.readouterr().err == (
        "sluice: --backfill: expected no options for a run or for Beam, since it runs no graph, got --report --runner\n"
    )
    assert shop.sluice("tables", "--apply") == 0
    capsys.readouterr()
    assert shop.sluice("load", "--backfill", "price") == 2
    assert capsys.readouterr() == (
        "",
        "sluice: --backfill: expected rows of clicks that lack price and have it in _extra, got none: there is nothing "
        "to fill\n",
    )
