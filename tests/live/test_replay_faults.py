"""Kills, interruptions and rival runs: whatever happens, the next run ends in what one clean run makes."""

from __future__ import annotations

import os
import random
import re
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from devservers.sluice_command import ForkedSluiceProcess
from devservers.sluice_process import SLUICE, SluiceProcess
from tests.end_to_end.replay_fixture import Replay

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")

EVENTS = 60_000
MINUTES = 30
UUID = "%08x-0000-4000-8000-00000000002a"


def record(number: int) -> str:
    """Return one record: nearly always an event of one of three types, sometimes what must be a letter."""
    if number % 50 == 0:
        return f'{{"event_type":"order","n":{number}'
    time = (
        f"2025-02-08T{10 + number % MINUTES // 60}:{number % 60:02d}:{number % 59:02d}.{number % 1000:03d}Z"
    )
    some = UUID % number
    reason = "theft" if number % 51 == 0 else "sale"
    return (
        f'{{"event_type":"inventory","inventory_id":"{some}","product_id":"{some}","warehouse_id":"{some}",'
        f'"quantity_change":{number % 100},"reason":"{reason}","timestamp":"{time}"}}',
        f'{{"event_type":"user_activity","user_id":"{some}","activity_type":"login","ip_address":"10.0.0.1",'
        f'"user_agent":"a","timestamp":"{time}","metadata":{{"session_id":"{some}","platform":"web"}}}}',
        f'{{"event_type":"order","order_id":"{some}","customer_id":"{some}","order_date":"{time}",'
        f'"status":"shipped","items":[],"total_amount":1.5,'
        f'"shipping_address":{{"street":"s","city":"c","country":"x"}}}}',
    )[number % 3]


@pytest.fixture
def scratch() -> Iterator[Path]:
    with TemporaryDirectory(prefix="replay") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a history in several files, a third of whose records come twice."""
    folder = tmp_path_factory.mktemp("history")
    for part in range(4):
        numbers = [*range(part, EVENTS, 4), *range(part, EVENTS, 12)]
        text = "".join(f"{record(number)}\n" for number in numbers)
        (folder / f"{part}.json").write_text(text)
    return folder


@pytest.fixture(scope="module")
def clean(history: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    """Return what one undisturbed run makes of the history."""
    with TemporaryDirectory(prefix="replay") as scratch:
        replay = Replay(tmp_path_factory.mktemp("clean"), Path(scratch))
        replay.run(history)
    read, accepted, *_ = replay.figures()
    assert (read, accepted) == (EVENTS * 4 // 3, sum(times.total() for times in replay.events().values()))
    return replay.state()


@pytest.fixture
def replay(tmp_path: Path, scratch: Path) -> Replay:
    return Replay(tmp_path / "out", scratch)


MOMENTS: Mapping[str, Callable[[Replay], bool]] = {
    "the warehouse is made": lambda replay: replay.warehouse.exists(),
    "records are read": lambda replay: replay.spilled() > 0,
    "half is read": lambda replay: replay.spilled() > 1_000_000,
    "the first file is there": lambda replay: replay.segments_stored() > 0,
    "a third of the files is there": lambda replay: replay.segments_stored() >= MINUTES,
    "the first segment is loaded": lambda replay: replay.segments_loaded() > 0,
    "most segments are loaded": lambda replay: replay.segments_loaded() >= 2 * MINUTES,
    "the first dead letters are there": lambda replay: replay.dead_letter_segments_stored() > 0,
}
"""How far a run has come when it is disturbed; looked at again and again, for nobody can wait for a moment."""


def moments(*chosen: str) -> list[str]:
    """Return the moments at which a test disturbs a run; each takes two runs, so a test chooses."""
    return [moment for moment in MOMENTS if moment in chosen]


def is_clean(replay: Replay, clean: tuple[object, ...]) -> None:
    """Compare with a clean run, and find nothing left over by those that ended early."""
    assert replay.state() == clean
    assert replay.segments_stored() == sum(1 for _ in replay.files.rglob("*_*.json") if _.name != "_log.json")
    assert [path for path in replay.files.rglob(".*")] == []
    assert [path for path in replay.dead_letters.rglob(".*")] == []
    assert list(replay.scratch.iterdir()) == []


def completes(replay: Replay, history: Path, clean: tuple[object, ...]) -> None:
    """Run again, undisturbed."""
    replay.run(history)
    read, accepted, duplicates, rejected, loaded, load_rejected = replay.figures()
    assert read == EVENTS * 4 // 3
    assert read == accepted + duplicates + rejected
    assert (loaded, load_rejected) == (accepted, 0)
    is_clean(replay, clean)


@pytest.mark.parametrize(
    "moment", moments("half is read", "the first file is there", "most segments are loaded")
)
def test_next_run_completes_a_killed_run(
    replay: Replay, history: Path, clean: tuple[object, ...], moment: str
) -> None:
    running = replay.start(history)
    running.until(lambda: MOMENTS[moment](replay))
    running.kill()
    running.finish()
    for times in replay.events().values():
        assert set(times.values()) == {1}
    completes(replay, history, clean)


@pytest.mark.parametrize("moment", moments("records are read"))
def test_workers_do_not_outlive_their_launcher(
    replay: Replay, history: Path, clean: tuple[object, ...], moment: str
) -> None:
    running = replay.start(history)
    running.until(lambda: MOMENTS[moment](replay))
    running.kill("launcher")
    assert running.finish() in (0, -signal.SIGKILL)  # 0: it had ended by itself
    assert "Traceback" not in running.output()
    completes(replay, history, clean)


@pytest.mark.parametrize("moment", moments("records are read", "a third of the files is there"))
@pytest.mark.parametrize("which", [0, -1])
def test_killed_worker_ends_the_run_with_one_line(
    replay: Replay, history: Path, clean: tuple[object, ...], moment: str, which: int
) -> None:
    running = replay.start(history)
    if running.until(lambda: MOMENTS[moment](replay)):
        workers = [process.pid for process in running.processes() if process.role == "worker"]
        if workers:
            os.kill(workers[which], signal.SIGKILL)
    code = running.finish()
    if code == 0:  # it had nothing left to do
        assert replay.report()["reconciled"]
    else:
        assert (code, running.output()) == (
            1,
            "sluice: a worker process died: killed by SIGKILL, as a full memory would; "
            "what was written stays valid, run again\n",
        )
    completes(replay, history, clean)


@pytest.mark.parametrize("whom", ["launcher", "everybody"])
@pytest.mark.parametrize("moment", moments("the warehouse is made", "the first segment is loaded"))
def test_interrupt_prints_one_line_and_leaves_no_process(
    replay: Replay, history: Path, clean: tuple[object, ...], moment: str, whom: str
) -> None:
    running = replay.start(history)
    running.until(lambda: MOMENTS[moment](replay))
    running.kill(*(["launcher"] if whom == "launcher" else []), number=signal.SIGINT)
    code = running.finish()
    if code == 0:
        assert replay.report()["reconciled"]
    else:
        assert (code, running.output()) == (
            130,
            "sluice: interrupted; what was written stays valid, and the next run completes it\n",
        )
    assert list(replay.scratch.iterdir()) == []
    completes(replay, history, clean)


def test_concurrent_runs_store_one_history(replay: Replay, history: Path, clean: tuple[object, ...]) -> None:
    other = Replay(replay.folder, replay.scratch)
    other.report_file = replay.folder / "other.json"
    first = replay.start(history)
    second = start_beside(other, history)
    assert (first.finish(), second.finish()) == (0, 0)
    assert replay.figures()[0] == other.figures()[0] == EVENTS * 4 // 3
    total = sum(times.total() for times in replay.events().values())
    assert replay.figures()[1] + other.figures()[1] == total
    is_clean(replay, clean)
    completes(replay, history, clean)
    assert replay.figures()[1] == 0


@pytest.mark.parametrize("moment", moments("a third of the files is there"))
def test_killed_one_of_two_concurrent_runs_loses_nothing(
    replay: Replay, history: Path, clean: tuple[object, ...], moment: str
) -> None:
    other = Replay(replay.folder, replay.scratch)
    other.report_file = replay.folder / "other.json"
    first = replay.start(history)
    second = start_beside(other, history)
    second.until(lambda: MOMENTS[moment](replay))
    second.kill()
    second.finish()
    assert first.finish() == 0, first.output()
    assert replay.report()["reconciled"]
    assert replay.events() == clean[0]
    completes(replay, history, clean)


def start_beside(other: Replay, history: Path) -> SluiceProcess:
    return ForkedSluiceProcess(
        [SLUICE, *other.arguments(history)],
        {**os.environ, "TMPDIR": str(other.scratch)},
        other.folder / "printed_beside.txt",
    )


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(2))
def test_ten_kills_of_a_replay_lose_nothing(
    replay: Replay, history: Path, clean: tuple[object, ...], seed: int
) -> None:
    chance = random.Random(seed)
    for _ in range(10):
        stored, loaded, dead_letters = (
            replay.segments_stored(),
            replay.segments_loaded(),
            replay.dead_letter_segments_stored(),
        )
        aim = chance.choice(("spilled", "stored", "loaded", "dead_letters"))
        more = chance.randrange(1, MINUTES)
        reached: Mapping[str, Callable[[], bool]] = {
            "spilled": lambda more=more: replay.spilled() > more * 10_000,  # type: ignore[misc]  # mypy does not infer the default
            "stored": lambda at=stored + more: replay.segments_stored() > at,  # type: ignore[misc]  # mypy does not infer the default
            "loaded": lambda at=loaded + more: replay.segments_loaded() > at,  # type: ignore[misc]  # mypy does not infer the default
            "dead_letters": lambda at=dead_letters + more: replay.dead_letter_segments_stored() > at,  # type: ignore[misc]  # mypy does not infer the default
        }
        running = replay.start(history)
        running.until(reached[aim])
        running.kill(*chance.choice(([], ["launcher"], ["worker"])))
        running.finish()
        for times in replay.events().values():
            assert set(times.values()) == {1}
    completes(replay, history, clean)


def test_run_removes_folders_of_killed_runs_only(replay: Replay, history: Path, tmp_path: Path) -> None:
    killed = replay.start(history)
    killed.until(lambda: MOMENTS["records are read"](replay))
    killed.kill()
    killed.finish()
    (left,) = replay.scratch.glob("sluice-run-*")
    running = replay.start(history)
    running.until(lambda: not left.exists() and replay.spilled() > 0)
    (own,) = replay.scratch.glob("sluice-run-*")
    other = Replay(tmp_path / "other", replay.scratch)
    (tmp_path / "few").write_text(record(1))
    other.run(tmp_path / "few")
    assert running.finish() == 0, running.output()
    assert not own.exists()
    assert list(replay.scratch.iterdir()) == []


def peak(replay: Replay, source: Path) -> int:
    """Run and return the most memory, in kB, that all processes of the run had together, shared pages once."""
    running = replay.start(source)
    most = 0

    def measure() -> bool:
        nonlocal most
        most = max(most, sum(proportional(process.pid) for process in running.processes()))
        return False

    running.until(measure)
    assert running.finish() == 0, running.output()
    assert replay.report()["reconciled"]
    return most


def proportional(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _at(made: str, minute: int) -> str:
    return re.sub(r"2025-02-08T\d\d:\d\d", f"2025-02-08T{minute // 60:02d}:{minute % 60:02d}", made)


@pytest.mark.long
def test_memory_does_not_grow_with_the_history(tmp_path: Path, scratch: Path) -> None:
    """Spread over a day; what falls into one minute is appended whole, so its size is the memory it takes."""
    peaks = []
    for size in (30, 300):
        source = tmp_path / f"{size}.json"
        written = number = 0
        with source.open("w") as file:
            while written < size * 1_000_000:
                number += 1
                written += file.write(_at(record(number * 50 + 1 + number % 3), number % 1440) + "\n")
        peaks.append(peak(Replay(tmp_path / str(size), scratch), source))
        source.unlink()
    assert peaks[1] < 2 * peaks[0], peaks
