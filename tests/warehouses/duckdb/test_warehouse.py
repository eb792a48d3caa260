from __future__ import annotations

import multiprocessing
import os
import pickle
import resource
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pytest
from sluice.arrow.from_json import to_table
from sluice.arrow.window_counts import count_windows
from sluice.contracts import Contract, Property
from sluice.elements import Segment
from sluice.errors import ConfigError, ContractError, WarehouseError
from sluice.retry import RetryPolicy
from sluice.tooling.tables import apply_contracts
from sluice.warehouses import SegmentLoad, open_warehouse
from sluice.warehouses.duckdb.parquet_files import write_atomically
from sluice.warehouses.duckdb.views import create_table_sql
from sluice.warehouses.duckdb.warehouse import LOCK_RETRY, DuckDBWarehouse, connect

NOW = datetime(2025, 2, 8, 14, 0, tzinfo=UTC)
MINUTE = 1739020140  # 2025-02-08T13:09:00Z
ORDER = Contract(
    event_type="order",
    table="order_events",
    id="order",
    version="1.0.0",
    domain="shop",
    description="What the shop's customers order.",
    properties=(
        Property("order_id", "uuid", required=True, description="The order's own id."),
        Property("at", "timestamp", required=True),
        Property(
            "items",
            "array",
            items=Property(
                "item", "object", properties=(Property("product_id", "uuid"), Property("price", "decimal"))
            ),
        ),
        Property("address", "object", properties=(Property("city", "string"),)),
        Property("total", "decimal"),
        Property("note", "json"),
        Property("day", "date"),
        Property("paid", "boolean"),
        Property("ratio", "float"),
        Property("count", "integer"),
    ),
    event_time="at",
)
LETTER = Contract(
    event_type="dead_letter",
    table="dead_letters",
    id="dead_letter",
    version="1.0.0",
    domain="sluice",
    description="",
    properties=(Property("at", "timestamp", required=True), Property("payload", "string")),
    event_time="at",
)
ID = "620e9530-8d35-4315-aaeb-1ce969de2672"
FULL = (
    f'{{"order_id":"{ID}","at":"2025-02-08T13:09:07.5Z","items":[{{"product_id":"{ID}","price":87.66}}],'
    '"address":{"city":"Riga"},"total":12345678901234567890.123456789,"note":{"a":[1.10,1e999]},'
    '"day":"2024-02-29","paid":true,"ratio":0.1,"count":7,"foo":"a\\u0000b"}'
).encode()


def line(second: int, minute: str = "13:09") -> bytes:
    return f'{{"order_id":"{ID}","at":"2025-02-08T{minute}:{second:02d}Z"}}'.encode()


def segment(number: int, *lines: bytes, minute: int = MINUTE, event_type: str = "order") -> Segment:
    return Segment(f"{number:032x}", event_type, f"files/{event_type}/{number}.json", minute, lines)


def load(warehouse: DuckDBWarehouse, contract: Contract, each: Segment) -> list[tuple[int, str]]:
    table, row_errors = to_table(contract, each, [f"{n:032x}" for n in range(len(each.lines))], NOW)
    return warehouse.load(SegmentLoad(contract, each, table, row_errors, count_windows(table["at"]), NOW))


def query(warehouse: DuckDBWarehouse, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(warehouse.file) as connection:
        return connection.execute(sql).fetchall()


@pytest.fixture
def warehouse(tmp_path: Path) -> DuckDBWarehouse:
    opened = DuckDBWarehouse(str(tmp_path / "w.duckdb"), RetryPolicy(0))
    opened.prepare([ORDER, LETTER])
    return opened


def test_fresh_views_are_empty(warehouse: DuckDBWarehouse) -> None:
    for view in ("order_events", "dead_letters", "event_counts", "_segments"):
        assert query(warehouse, f"SELECT * FROM {view}") == []


def test_values_arrive_exactly(warehouse: DuckDBWarehouse) -> None:
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


def test_counts_sum_over_segments_and_leave_dead_letters_out(warehouse: DuckDBWarehouse) -> None:
    load(warehouse, ORDER, segment(1, line(0), line(9), line(10)))
    load(warehouse, ORDER, segment(2, line(5)))
    letter = b'{"at":"2025-02-08T13:09:00Z","payload":"x"}'
    load(warehouse, LETTER, segment(3, letter, event_type="dead_letter"))
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


def test_each_segment_is_one_row_of_segments(warehouse: DuckDBWarehouse) -> None:
    load(warehouse, ORDER, segment(1, line(0), line(10), b'{"at":7}'))
    columns = (
        "segment_id, event_type, path, epoch(minute)::BIGINT, events, refused, epoch(ingested_at)::BIGINT"
    )
    assert query(warehouse, f"SELECT {columns} FROM _segments") == [
        (f"{1:032x}", "order", "files/order/1.json", MINUTE, 2, 1, 1739023200)
    ]
    assert len(query(warehouse, "DESCRIBE _segments")) == 7


def test_a_segment_loaded_twice_is_there_once_and_tells_its_refused_lines_again(
    warehouse: DuckDBWarehouse,
) -> None:
    each = segment(1, line(0), b'{"at":7}')
    assert warehouse.row_errors(each.id, each.minute) is None
    row_errors = load(warehouse, ORDER, each)
    assert [index for index, _ in row_errors] == [1]
    assert warehouse.load(SegmentLoad(ORDER, each, None, [], [], NOW)) == row_errors
    assert warehouse.row_errors(each.id, each.minute) == row_errors
    assert query(warehouse, "SELECT count(*) FROM order_events") == [(1,)]


def test_a_segment_of_refused_lines_only_is_loaded_without_rows(warehouse: DuckDBWarehouse) -> None:
    each = segment(1, b'{"at":7}')
    assert len(load(warehouse, ORDER, each)) == 1
    assert warehouse.row_errors(each.id, each.minute) is not None
    assert query(warehouse, "SELECT events, refused FROM _segments") == [(0, 1)]
    assert query(warehouse, "SELECT * FROM event_counts") == []


@pytest.mark.parametrize(
    ("minute", "folder"),
    [(MINUTE, "2025-02-08"), (-60, "1969-12-31"), (0, "1970-01-01"), (86340, "1970-01-01")],
)
def test_files_lie_by_the_day_of_the_minute(warehouse: DuckDBWarehouse, minute: int, folder: str) -> None:
    load(warehouse, ORDER, segment(1, line(0), minute=minute))
    name = f"event_date={folder}/{1:032x}.parquet"
    assert (warehouse.folder / "order_events" / name).is_file()
    assert (warehouse.folder / "_segments" / name).is_file()
    assert query(warehouse, "SELECT event_date FROM order_events") == [(date.fromisoformat(folder),)]


def test_the_ddl_makes_a_table_of_the_views_columns_and_types(warehouse: DuckDBWarehouse) -> None:
    view = [row[:2] for row in query(warehouse, "DESCRIBE order_events")]
    with duckdb.connect() as connection:
        connection.execute(create_table_sql(ORDER))
        assert [row[:2] for row in connection.execute("DESCRIBE order_events").fetchall()] == view
        comments = connection.execute(
            "SELECT column_name, comment, is_nullable FROM duckdb_columns() WHERE NOT internal LIMIT 2"
        ).fetchall()
    assert comments == [("order_id", "The order's own id.", False), ("at", None, False)]
    assert query(warehouse, "SELECT comment FROM duckdb_views() WHERE view_name = 'order_events'") == [
        ("What the shop's customers order.",)
    ]


def test_the_ddl_as_text() -> None:
    ddl, comments = create_table_sql(LETTER).split("COMMENT ON COLUMN", maxsplit=1)
    assert ddl == textwrap.dedent("""\
        CREATE TABLE "dead_letters" (
            "at" TIMESTAMP WITH TIME ZONE NOT NULL,
            "payload" VARCHAR,
            "_extra" JSON,
            "_event_id" VARCHAR NOT NULL,
            "_segment_id" VARCHAR NOT NULL,
            "_ingested_at" TIMESTAMP WITH TIME ZONE NOT NULL,
            "event_date" DATE NOT NULL
        );
        """)
    assert comments.splitlines()[-1] == (
        """COMMENT ON COLUMN "dead_letters"."event_date" IS 'UTC day of the event, the partition.';"""
    )


def test_older_files_lack_what_the_contract_learnt_later(warehouse: DuckDBWarehouse) -> None:
    load(warehouse, ORDER, segment(1, FULL))
    city = Property("address", "object", properties=(Property("zip", "string"), Property("city", "string")))
    properties = tuple(city if each.name == "address" else each for each in ORDER.properties)
    newer = replace(ORDER, version="1.1.0", properties=(Property("channel", "string"), *properties))
    apply_contracts(warehouse, [newer, LETTER])
    load(warehouse, newer, segment(2, line(1)[:-1] + b',"channel":"web","address":{"zip":"LV-1"}}'))
    assert query(warehouse, "SELECT channel, address FROM order_events ORDER BY channel NULLS FIRST") == [
        (None, {"zip": None, "city": "Riga"}),
        ("web", {"zip": "LV-1", "city": None}),
    ]


def test_file_and_folder_can_be_moved(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    load(warehouse, ORDER, segment(1, line(0)))
    (tmp_path / "there").mkdir()
    for name in ("w", "w.duckdb"):
        (tmp_path / name).rename(tmp_path / "there" / name)
    moved = DuckDBWarehouse(str(tmp_path / "there" / "w.duckdb"))
    moved.prepare([ORDER, LETTER])
    assert query(moved, "SELECT count(*) FROM order_events") == [(1,)]


def test_a_relative_url_is_read_from_any_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
def test_a_url_that_is_none_is_refused(url: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        open_warehouse(url)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("contract", "message"),
    [
        (
            replace(LETTER, table="event_counts"),
            "dead_letter@1.0.0: table: expected another name than Sluice's own event_counts, got 'event_counts';"
            " rename it",
        ),
        (
            replace(LETTER, table="a/b"),
            "dead_letter@1.0.0: table: expected a table name for DuckDB (letters, digits and _, beginning with a"
            " letter), got 'a/b'; rename it",
        ),
        (
            replace(LETTER, properties=(Property("Event_Date", "date"),)),
            "dead_letter@1.0.0: property event_date: DuckDB cannot tell it from Event_Date; rename one",
        ),
        (
            replace(
                LETTER,
                properties=(
                    Property("o", "object", properties=(Property("a", "date"), Property("A", "date"))),
                ),
            ),
            "dead_letter@1.0.0: property o.A: DuckDB cannot tell it from a; rename one",
        ),
    ],
)
def test_a_contract_that_duckdb_cannot_hold_is_refused(
    contract: Contract, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ContractError) as error:
        DuckDBWarehouse(str(tmp_path / "w.duckdb")).prepare([contract])
    assert str(error.value) == message
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_duckdb_would_take_for_a_column_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "Total=1" / "w.duckdb"
    with pytest.raises(ConfigError) as error:
        DuckDBWarehouse(str(file)).prepare([ORDER])
    assert str(error.value) == f"warehouse: {file}: expected no folder named like a column, got 'Total=1'"


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


def test_a_locked_file_is_one_clear_line(warehouse: DuckDBWarehouse, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(WarehouseError) as error:
        warehouse.prepare([ORDER, LETTER])
    program = os.path.realpath(f"/proc/{holder.pid}/exe")
    assert str(error.value) == (
        f"{warehouse.file}: expected to open the warehouse, but it is locked by process "
        f"{holder.pid} ({program}); close it there and run again"
    )


def test_a_locked_file_is_waited_for(warehouse: DuckDBWarehouse, holder: subprocess.Popen[str]) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            holder.communicate()

    connect(warehouse.file, replace(LOCK_RETRY, sleep=sleep)).close()
    assert len(slept) == 2


def test_a_file_that_is_no_database_is_one_clear_line(tmp_path: Path) -> None:
    file = tmp_path / "w.duckdb"
    file.write_bytes(b"something else, longer than a header" * 500)
    with pytest.raises(WarehouseError) as error:
        DuckDBWarehouse(str(file)).prepare([ORDER])
    assert str(error.value).startswith(f"{file}: expected a DuckDB database that can be written: IO Error: ")
    assert "\n" not in str(error.value)


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(b"")
    with pytest.raises(WarehouseError) as error:
        DuckDBWarehouse(str(tmp_path / "w.duckdb")).prepare([ORDER])
    path = tmp_path / "w" / "_segments" / "event_date=1970-01-01"
    assert str(error.value) == f"{path}: expected to read or write the warehouse: Not a directory"


def test_a_damaged_mark_is_one_clear_line(warehouse: DuckDBWarehouse) -> None:
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


def test_two_processes_load_the_same_segments_at_once(warehouse: DuckDBWarehouse) -> None:
    processes = [SPAWN.Process(target=_load_all, args=(warehouse.file, range(40))) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert query(warehouse, "SELECT count(*), count(DISTINCT _segment_id) FROM order_events") == [(80, 40)]
    assert query(warehouse, "SELECT sum(events), count(*) FROM event_counts") == [(80, 2)]
    assert list(warehouse.folder.rglob("*.tmp")) == []


def test_two_runs_that_start_at_once_both_prepare(tmp_path: Path) -> None:
    warehouse = DuckDBWarehouse(str(tmp_path / "w.duckdb"))
    processes = [SPAWN.Process(target=warehouse.prepare, args=([ORDER, LETTER],)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert query(warehouse, "SELECT * FROM order_events") == []


@pytest.mark.parametrize(("name", "rows"), [("order_events", 0), ("_segments", 2)])
def test_a_load_that_was_killed_is_completed_by_the_next(
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


def test_a_full_disk_is_one_clear_line_and_leaves_nothing(warehouse: DuckDBWarehouse, capfd: Any) -> None:
    process = SPAWN.Process(target=_full_disk, args=(warehouse.file,))
    process.start()
    process.join()
    assert process.exitcode == 1
    data = warehouse.folder / "order_events" / "event_date=2025-02-08" / f"{1:032x}.parquet"
    assert capfd.readouterr().err == f"{data}: expected to read or write the warehouse: File too large\n"
    assert list(data.parent.iterdir()) == []
    assert query(warehouse, "SELECT count(*) FROM order_events") == [(0,)]


def test_views_do_not_see_hidden_files(warehouse: DuckDBWarehouse) -> None:
    load(warehouse, ORDER, segment(1, line(0)))
    (hidden,) = (warehouse.folder / "order_events" / "event_date=2025-02-08").iterdir()
    hidden.with_name(f".{hidden.name}.0123456789abcdef.tmp").write_bytes(b"half")
    assert query(warehouse, "SELECT count(*) FROM order_events") == [(1,)]


def test_writing_replaces_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    write_atomically(path, b"first, which is longer")
    write_atomically(path, b"second")
    assert path.read_bytes() == b"second"
    assert list(path.parent.iterdir()) == [path]
