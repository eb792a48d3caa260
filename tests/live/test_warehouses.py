"""Warehouses behind servers: connections that are cut, servers that restart, and the real command line."""

from __future__ import annotations

import json
import multiprocessing
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from sluice.contracts import load_contracts
from sluice.dead_letters.envelope import dead_letter_contract
from sluice.errors import WarehouseError
from sluice.warehouses import Warehouse, open_warehouse

from devservers import tcp_proxy
from devservers.sluice_command import sluice
from devservers.tcp_proxy import Fault, Stage, after_bytes, containing
from devservers.tools import ROOT
from devservers.waiting import wait_until
from tests.end_to_end.replay_fixture import JOB
from tests.warehouses.backends import BACKENDS, Backend, MakeBackend
from tests.warehouses.order_segments import (
    ORDER,
    event_counts,
    events,
    load,
    load_all_patiently,
    load_until_done,
    number_of,
    prepared,
    read_back,
    segment,
    segment_rows,
)

SEGMENTS = 8
SPAWN = multiprocessing.get_context("spawn")

STAGES: dict[str, dict[str, Stage]] = {
    "postgres": {
        "connecting": after_bytes(0),
        "signing in": after_bytes(120),
        "claiming": containing(b"INSERT INTO _segments"),
        "copying": containing(b"COPY"),
        "in the midst of rows": after_bytes(60_000),
        "counting": containing(b"_event_counts"),
        "committing": containing(b"COMMIT"),
        "asking": containing(b"SELECT refused"),
    },
}
"""Server -> stages of a load that a connection can break at, recognised by what the client sends."""
FAULTS = ("cut", "cut_after", "reset", "delay")
_COST = re.compile(
    r"(backend_events: \d+ segments of \d+ days, counted for each event type: at most \d+ transactions and another one"
    r" for every 128 MB of a day beyond the first\n)?"
)
"""What `sluice load` says that it will use of a warehouse with transactions."""

every_server = pytest.mark.parametrize("make_backend", STAGES, indirect=True)
without_emulators = pytest.mark.parametrize("make_backend", sorted({"sqlite", *STAGES}), indirect=True)


def at(backend: Backend, port: int) -> Warehouse:
    assert backend.url_at is not None
    return open_warehouse(backend.url_at(port))


def at_once(action: Callable[[], Any]) -> Any:
    """Call an action again without a pause, for a fault that comes three times."""
    for _ in range(3):
        try:
            return action()
        except WarehouseError:
            pass
    return action()


def is_whole(backend: Backend, segments: int) -> None:
    """Find every event of so many segments once, in rows, counts and the rows of `_segments`."""
    assert [mark[4:6] for mark in segment_rows(backend)] == [(50, 1)] * segments
    assert [events for *_, events in event_counts(backend)] == [10 * segments] * 5
    texts = Counter(row["text"].partition(" ")[0] for row in read_back(backend))
    assert texts == {str(number): 50 for number in range(segments)}


@every_server
@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("stage", sorted({stage for stages in STAGES.values() for stage in stages}))
def test_broken_connection_loads_every_row_once(
    backend: Backend, request: pytest.FixtureRequest, stage: str, kind: str
) -> None:
    stages = STAGES[request.node.callspec.params["make_backend"]]
    prepared(backend.url)
    assert backend.port is not None
    with tcp_proxy.start(backend.port) as between:
        warehouse = at(backend, between.port)
        fault = Fault(stages[stage], kind, times=3, seconds=0.2)
        between.faults.append(fault)
        for number in range(SEGMENTS):
            load_until_done(warehouse, number, at_once)
            between.disconnect()
        assert fault.count == 3
    is_whole(backend, SEGMENTS)


@every_server
def test_segment_of_a_silent_connection_is_loaded_by_the_next_worker(backend: Backend) -> None:
    """Its server still holds the claim, for a while; whoever waits for it goes on when it is given up."""
    prepared(backend.url)
    assert backend.port is not None
    with tcp_proxy.start(backend.port) as between:
        between.faults.append(Fault(containing(b"COMMIT"), "cut"))
        with pytest.raises(WarehouseError):
            load(at(backend, between.port), ORDER, segment(0, *events(0)))
        load_until_done(at(backend, between.port), 0, at_once)
    is_whole(backend, 1)


@every_server
def test_unreachable_server_is_a_one_line_error_without_password(backend: Backend) -> None:
    warehouse = prepared(backend.url)
    assert backend.port is not None
    with tcp_proxy.start(backend.port) as between:
        away = at(backend, between.port)
        load(away, ORDER, segment(0, *events(0)))
        between.refuse = True
        between.disconnect()
        with pytest.raises(WarehouseError) as error:
            load(away, ORDER, segment(1, *events(1)))
        assert re.search(r":[^*/@]+@", str(error.value)) is None
        assert "\n" not in str(error.value)
        between.refuse = False
        load(away, ORDER, segment(1, *events(1)))
    load(warehouse, ORDER, segment(1, *events(1)))
    is_whole(backend, 2)


@every_server
def test_server_restart_during_loads_loads_every_row_once(backend: Backend) -> None:
    prepared(backend.url)
    assert backend.restart is not None
    segments = 60
    processes = [SPAWN.Process(target=load_all_patiently, args=(backend.url, segments)) for _ in range(2)]
    for process in processes:
        process.start()
    for some in (10, 30):
        load_until(some, backend, processes)
        backend.restart()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    is_whole(backend, segments)


def load_until(segments: int, backend: Backend, processes: list[Any]) -> None:
    """Wait until the processes have loaded so many segments."""

    def is_loaded() -> bool:
        if number_of(backend, "_segments") >= segments:
            return True
        assert any(process.is_alive() for process in processes)
        return False

    wait_until(is_loaded, f"{segments} segments are loaded")


def run(command: str, folder: Path, url: str, *flags: str) -> str:
    """Run `sluice run` or `load` on the sample history; return what it printed."""
    with TemporaryDirectory(prefix="replay") as scratch:
        done = sluice(
            command,
            JOB,
            f"--files={folder / 'files'}",
            f"--dead-letters={folder / 'dead_letters'}",
            f"--warehouse={url}",
            f"--report={folder / 'report.json'}",
            *flags,
            environment={"TMPDIR": scratch},
        )
    assert done.code == 0, done.err
    assert _COST.fullmatch(done.err), done.err
    return done.out


def tables(backend: Backend) -> dict[str, list[Any]]:
    """Return what two warehouses of one log must agree on: all but the time of loading."""
    contracts = [*load_contracts(str(ROOT / "schemas/backend_events")).values(), dead_letter_contract()]
    rows: dict[str, list[Any]] = {contract.table: read_back(backend, contract) for contract in contracts}
    identities = {
        f"{contract.table}._event_id": backend.query(
            f"SELECT _event_id, _segment_id FROM {contract.table} ORDER BY 1"
        )
        for contract in contracts
    }
    return (
        rows
        | identities
        | {"event_counts": event_counts(backend), "segments": [mark[:-1] for mark in segment_rows(backend)]}
    )


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, list[Any]]]]:
    """Replay the sample history into DuckDB; return the folder of the log and the tables."""
    folder = tmp_path_factory.mktemp("replayed")
    with BACKENDS["duckdb"](folder) as make:
        backend = make(folder)
        run("run", folder, backend.url)
        yield folder, tables(backend)


@without_emulators
def test_log_rebuilds_every_warehouse_equal_to_duckdb(
    replayed: tuple[Path, dict[str, list[Any]]], make_backend: MakeBackend, tmp_path: Path
) -> None:
    folder, expected = replayed
    backend = make_backend(tmp_path)
    printed = run("load", folder, backend.url)
    assert "backfilled: 3,950 events" in printed
    assert "%" not in printed  # the password, as the URL has it
    assert tables(backend) == expected
    run("load", folder, backend.url)
    assert json.loads((folder / "report.json").read_bytes())["backfilled"] == 0
    assert tables(backend) == expected


@without_emulators
def test_command_line_replays_history_into_every_warehouse(
    replayed: tuple[Path, dict[str, list[Any]]], make_backend: MakeBackend, tmp_path: Path
) -> None:
    _, expected = replayed
    backend = make_backend(tmp_path)
    run("run", tmp_path, backend.url)
    made = json.loads((tmp_path / "report.json").read_bytes())
    figures = ("read", "accepted", "duplicates", "rejected", "loaded", "load_rejected", "reconciled")
    assert [made[name] for name in figures] == [4201, 3950, 150, 101, 3950, 0, True]
    run("run", tmp_path, backend.url)
    for name in ("order_events", "inventory_events", "user_activity_events", "event_counts"):
        assert sorted(map(_text, tables(backend)[name])) == sorted(map(_text, expected[name]))


def _text(row: Mapping[str, Any]) -> str:
    return json.dumps(row, sort_keys=True, default=str)  # jsonb keeps members in an order of its own
