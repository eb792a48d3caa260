from __future__ import annotations

import multiprocessing
import os
import pickle
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sluice.arrow.from_json import to_table
from sluice.contracts import Property
from sluice.errors import ConfigError, WarehouseError
from sluice.tooling.tables import apply_contracts
from sluice.warehouses import SegmentLoad, open_warehouse
from sluice.warehouses.duckdb.warehouse import LOCK_RETRY, DuckDBWarehouse, connect

from tests.warehouses.duckdb.duckdb_orders import FULL, ORDER, line, load, query, segment
from tests.warehouses.order_segments import DEAD_LETTER, ID, MINUTE, NOW


def test_prepared_views_are_empty(warehouse: DuckDBWarehouse) -> None:
    for view in ("order_events", "dead_letters", "event_counts", "_segments"):
        assert query(warehouse, f"SELECT * FROM {view}") == []


def test_values_have_duckdb_types(warehouse: DuckDBWarehouse) -> None:
    assert load(warehouse, ORDER, segment(1, FULL)) == []
    (row,) = query(warehouse, 'SELECT * EXCLUDE ("at", _ingested_at) FROM order_events')
    assert row == (
        UUID(ID),
        [{"product_id": UUID(ID), "price": Decimal("87.660000000")}],
        {"city": "Riga"},
        Decimal("12345678901234567890.123456789"),
        '{"a":[1.10,1e999]}',
        date(2024, 2, 29),
        True,
        0.1,
        7,
        '{"foo":"a\\u0000b"}',
        "0" * 32,
        f"{1:032x}",
        date(2025, 2, 8),
    )
    assert query(warehouse, 'SELECT epoch_us("at"), epoch_us(_ingested_at) FROM order_events') == [
        (1739020147_500_000, 1739023200_000_000)
    ]


def test_event_counts_sum_over_segments_without_dead_letters(warehouse: DuckDBWarehouse) -> None:
    load(warehouse, ORDER, segment(1, line(0), line(9), line(10)))
    load(warehouse, ORDER, segment(2, line(5)))
    dead_letter = b'{"at":"2025-02-08T13:09:00Z","payload":"x"}'
    load(warehouse, DEAD_LETTER, segment(3, dead_letter, event_type="dead_letter"))
    counts = (
        "SELECT event_type, epoch(window_start)::BIGINT, epoch(window_end)::BIGINT, events FROM event_counts"
    )
    assert sorted(query(warehouse, counts)) == [
        ("order", MINUTE, MINUTE + 10, 3),
        ("order", MINUTE + 10, MINUTE + 20, 1),
    ]
    assert [row[:2] for row in query(warehouse, "DESCRIBE event_counts")] == [
        ("event_type", "VARCHAR"),
        ("window_start", "TIMESTAMP WITH TIME ZONE"),
        ("window_end", "TIMESTAMP WITH TIME ZONE"),
        ("events", "BIGINT"),
    ]
    assert query(warehouse, "SELECT payload FROM dead_letters") == [("x",)]


def test_loaded_segment_is_one_row_of_segments(warehouse: DuckDBWarehouse) -> None:
    load(warehouse, ORDER, segment(1, line(0), line(10), b'{"at":7}'))
    columns = (
        "segment_id, event_type, path, epoch(minute)::BIGINT, events, refused, epoch(ingested_at)::BIGINT"
    )
    assert query(warehouse, f"SELECT {columns} FROM _segments") == [
        (f"{1:032x}", "order", "files/order/1.json", MINUTE, 2, 1, 1739023200)
    ]
    assert len(query(warehouse, "DESCRIBE _segments")) == 7


def test_segment_loaded_twice_is_stored_once_and_returns_its_row_errors_again(
    warehouse: DuckDBWarehouse,
) -> None:
    order_segment = segment(1, line(0), b'{"at":7}')
    assert warehouse.row_errors(order_segment.id, order_segment.minute) is None
    row_errors = load(warehouse, ORDER, order_segment)
    assert [index for index, _ in row_errors] == [1]
    assert warehouse.load(SegmentLoad(ORDER, order_segment, None, [], [], NOW)) == row_errors
    assert warehouse.row_errors(order_segment.id, order_segment.minute) == row_errors
    assert query(warehouse, "SELECT count(*) FROM order_events") == [(1,)]


def test_segment_of_rejected_lines_alone_is_loaded_without_rows(warehouse: DuckDBWarehouse) -> None:
    order_segment = segment(1, b'{"at":7}')
    assert len(load(warehouse, ORDER, order_segment)) == 1
    assert warehouse.row_errors(order_segment.id, order_segment.minute) is not None
    assert query(warehouse, "SELECT events, refused FROM _segments") == [(0, 1)]
    assert query(warehouse, "SELECT * FROM event_counts") == []


COLOUR = Property("colour", "string")


def with_members(prop: Property) -> Property:
    if prop.items is not None:
        return replace(prop, items=with_members(prop.items))
    if prop.type != "object":
        return prop
    return replace(
        prop, properties=(Property("zip", "string"), *prop.properties, Property("size", "integer"))
    )


def test_column_is_filled_in_a_file_that_also_lacks_members_of_objects(warehouse: DuckDBWarehouse) -> None:
    city = b'{"address":{"city":"Riga","zip":"LV"},"items":[{"price":1,"size":2}],"colour":"red",'
    lines = [text.replace(b"{", city, 1) for text in (line(1), line(2))]
    lines[1] = lines[1].replace(b'"colour":"red",', b"")
    load(warehouse, ORDER, segment(1, *lines))
    newer = replace(ORDER, properties=(*(with_members(prop) for prop in ORDER.properties), COLOUR))
    assert apply_contracts(warehouse, [newer]).remaining == []
    stored = segment(1, *lines)
    rows, row_errors = to_table(newer, stored, [f"{n:032x}" for n in range(2)], NOW)
    assert warehouse.fill_column([SegmentLoad(newer, stored, rows, row_errors, [], NOW)], "colour") == 1
    sql = "SELECT colour, address.city, address.zip, items[1].size FROM order_events ORDER BY _event_id"
    assert query(warehouse, sql) == [("red", "Riga", "LV", 2), (None, "Riga", None, None)]


@pytest.mark.parametrize(
    ("minute", "folder"),
    [(MINUTE, "2025-02-08"), (-60, "1969-12-31"), (0, "1970-01-01"), (86340, "1970-01-01")],
)
def test_files_are_in_the_folder_of_their_day(warehouse: DuckDBWarehouse, minute: int, folder: str) -> None:
    load(warehouse, ORDER, segment(1, line(0), minute=minute))
    name = f"event_date={folder}/{1:032x}.parquet"
    assert (warehouse.folder / "order_events" / name).is_file()
    assert (warehouse.folder / "_segments" / name).is_file()
    assert query(warehouse, "SELECT event_date FROM order_events") == [(date.fromisoformat(folder),)]


def test_moved_file_and_folder_are_read_after_prepare(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    load(warehouse, ORDER, segment(1, line(0)))
    (tmp_path / "there").mkdir()
    for name in ("w", "w.duckdb"):
        (tmp_path / name).rename(tmp_path / "there" / name)
    moved = DuckDBWarehouse(str(tmp_path / "there" / "w.duckdb"))
    moved.prepare([ORDER, DEAD_LETTER])
    assert query(moved, "SELECT count(*) FROM order_events") == [(1,)]


def test_relative_url_is_resolved_when_it_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    opened = open_warehouse("duckdb:///out/it's.duckdb")
    assert opened == open_warehouse(f"duckdb:///{tmp_path}/out/it's.duckdb")
    assert pickle.loads(pickle.dumps(opened)) == opened
    opened.prepare([ORDER])
    monkeypatch.chdir("/")
    assert isinstance(opened, DuckDBWarehouse)
    assert query(opened, "SELECT * FROM order_events") == []


SUFFIX = "expected a path with a suffix, such as .duckdb, and without * ? [ ], got"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("duckdb://w.duckdb", "warehouse: expected duckdb:///PATH.duckdb, got 'duckdb://w.duckdb'"),
        ("duckdb:///", "warehouse: expected duckdb:///PATH.duckdb, got 'duckdb:///'"),
        ("duckdb:///w", f"warehouse: duckdb:///w: path: {SUFFIX} 'w'"),
        ("duckdb:///a*/w.duckdb", f"warehouse: duckdb:///a*/w.duckdb: path: {SUFFIX} 'a*/w.duckdb'"),
    ],
)
def test_malformed_url_is_rejected(url: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        open_warehouse(url)
    assert str(error.value) == message


# What other processes do is done by these, so that locks and kills are real.

HOLD = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"


@pytest.fixture
def holder(warehouse: DuckDBWarehouse) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLD, warehouse.file]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_locked_file_fails_with_the_process_that_holds_it(
    warehouse: DuckDBWarehouse, holder: subprocess.Popen[str]
) -> None:
    with pytest.raises(WarehouseError) as error:
        warehouse.prepare([ORDER, DEAD_LETTER])
    program = os.path.realpath(f"/proc/{holder.pid}/exe")
    assert str(error.value) == (
        f"{warehouse.file}: expected to open the warehouse, but it is locked by process "
        f"{holder.pid} ({program}); close it there and run again"
    )


def test_locked_file_is_opened_when_the_lock_ends(
    warehouse: DuckDBWarehouse, holder: subprocess.Popen[str]
) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            holder.communicate()

    connect(warehouse.file, replace(LOCK_RETRY, sleep=sleep)).close()
    assert len(slept) == 2


def test_file_that_is_no_database_fails_with_one_line(tmp_path: Path) -> None:
    file = tmp_path / "w.duckdb"
    file.write_bytes(b"something else, longer than a header" * 500)
    with pytest.raises(WarehouseError) as error:
        DuckDBWarehouse(str(file)).prepare([ORDER])
    assert str(error.value).startswith(f"{file}: expected a DuckDB database that can be written: IO Error: ")
    assert "\n" not in str(error.value)


def test_folder_that_cannot_be_created_fails_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(b"")
    with pytest.raises(WarehouseError) as error:
        DuckDBWarehouse(str(tmp_path / "w.duckdb")).prepare([ORDER])
    path = tmp_path / "w" / "_segments" / "event_date=1970-01-01"
    assert str(error.value) == f"{path}: expected to read or write the warehouse: Not a directory"


def test_damaged_marker_fails_with_one_line(warehouse: DuckDBWarehouse) -> None:
    mark = warehouse.folder / "_segments" / "event_date=2025-02-08" / f"{1:032x}.parquet"
    mark.parent.mkdir()
    mark.write_bytes(b"PAR1")
    with pytest.raises(WarehouseError) as error:
        warehouse.row_errors(f"{1:032x}", MINUTE)
    assert str(error.value).startswith(f"{mark}: expected a sound warehouse: Parquet file size is 4 bytes")


def _load_all(file: str, numbers: Sequence[int]) -> None:
    for number in numbers:
        load(DuckDBWarehouse(file), ORDER, segment(number, line(0), line(11)))


def _full_disk(file: str) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    try:
        load(DuckDBWarehouse(file), ORDER, segment(1, *[line(0)] * 10_000))
    except WarehouseError as error:
        sys.exit(str(error))


def _killed_before(file: str, name: str) -> None:
    """Load a segment, but die of SIGKILL when a file in the folder `name` is about to get its name."""

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "os.rename" and f"/{name}/" in str(arguments[1]):
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(audit)
    _load_all(file, [1])


SPAWN = multiprocessing.get_context("spawn")


def test_two_processes_load_the_same_segments_once(warehouse: DuckDBWarehouse) -> None:
    processes = [SPAWN.Process(target=_load_all, args=(warehouse.file, range(40))) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert query(warehouse, "SELECT count(*), count(DISTINCT _segment_id) FROM order_events") == [(80, 40)]
    assert query(warehouse, "SELECT sum(events), count(*) FROM event_counts") == [(80, 2)]
    assert list(warehouse.folder.rglob("*.tmp")) == []


def test_processes_can_prepare_at_the_same_time(tmp_path: Path) -> None:
    warehouse = DuckDBWarehouse(str(tmp_path / "w.duckdb"))
    processes = [SPAWN.Process(target=warehouse.prepare, args=([ORDER, DEAD_LETTER],)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert query(warehouse, "SELECT * FROM order_events") == []


@pytest.mark.parametrize(("name", "rows"), [("order_events", 0), ("_segments", 2)])
def test_load_that_was_killed_is_completed_by_the_next(
    warehouse: DuckDBWarehouse, name: str, rows: int
) -> None:
    process = SPAWN.Process(target=_killed_before, args=(warehouse.file, name))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert len(list(warehouse.folder.rglob("*.tmp"))) == 1
    assert query(warehouse, "SELECT * FROM _segments") == []
    assert query(warehouse, "SELECT count(*) FROM order_events") == [(rows,)]
    _load_all(warehouse.file, [1])
    assert query(warehouse, "SELECT count(*) FROM order_events") == [(2,)]
    assert query(warehouse, "SELECT sum(events) FROM event_counts") == [(2,)]


def test_full_disk_fails_with_one_line_and_leaves_no_file(warehouse: DuckDBWarehouse, capfd: Any) -> None:
    process = SPAWN.Process(target=_full_disk, args=(warehouse.file,))
    process.start()
    process.join()
    assert process.exitcode == 1
    data = warehouse.folder / "order_events" / "event_date=2025-02-08" / f"{1:032x}.parquet"
    assert capfd.readouterr().err == f"{data}: expected to read or write the warehouse: File too large\n"
    assert list(data.parent.iterdir()) == []
    assert query(warehouse, "SELECT count(*) FROM order_events") == [(0,)]
