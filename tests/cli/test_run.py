"""What ends a run: one line that says what was expected, what came and where; never a traceback."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from devservers.tools import ROOT
from tests.cli.failures import EVENT, failure, history
from tests.end_to_end.replay_fixture import Replay, small_disk


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda path: None, "no file matches '{path}'"),
        (lambda path: path.symlink_to("nowhere"), "{path}: cannot read: No such file or directory"),
        (lambda path: path.symlink_to("/dev/null"), "{path}: cannot read: expected a file"),
        (lambda path: path.mkdir(), "no file matches '{path}'"),
    ],
)
def test_missing_source_is_one_line(
    replay: Replay, tmp_path: Path, make: Callable[[Path], None], line: str
) -> None:
    make(tmp_path / "source")
    assert failure(replay, source=tmp_path / "source") == line.format(path=tmp_path / "source")
    assert replay.log() == {}


def test_file_without_permission_is_one_line(replay: Replay, tmp_path: Path) -> None:
    history(tmp_path / "in").chmod(0)
    assert failure(replay, source=tmp_path / "in") == f"{tmp_path}/in: cannot open: Permission denied"


def test_file_name_that_is_not_utf_8_is_one_line(replay: Replay, tmp_path: Path) -> None:
    history(tmp_path / os.fsdecode(b"a\xff.json"))
    assert (
        failure(replay, source=tmp_path / "*.json")
        == f"{tmp_path}/a?.json: cannot read: expected a name in UTF-8"
    )


@pytest.mark.parametrize("key", ["files", "dead-letters"])
def test_folder_that_cannot_be_made_is_one_line(replay: Replay, tmp_path: Path, key: str) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "below"
    inner = folder / "inventory" if key == "files" else folder
    assert failure(replay, f"--{key}={folder}") == f"{inner}: cannot write _log.json: Not a directory"


def test_unwritable_warehouse_is_one_line(replay: Replay, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    warehouse = tmp_path / "file" / "w.duckdb"
    assert failure(replay, f"--warehouse=duckdb:///{warehouse}") == (
        f"{tmp_path}/file/w/_segments/event_date=1970-01-01: expected to read or write the warehouse: Not a directory"
    )


@pytest.mark.parametrize("damage", [b"SQLite format 3\0" * 100, b"x" * 10, b"x" * 100_000])
def test_file_that_is_no_warehouse_is_one_line_and_unchanged(replay: Replay, damage: bytes) -> None:
    replay.folder.mkdir()
    replay.warehouse.write_bytes(damage)
    assert failure(replay).startswith(f"{replay.warehouse}: expected a DuckDB database that can be written: ")
    assert replay.warehouse.read_bytes() == damage


def test_log_with_another_shard_count_is_rejected(replay: Replay) -> None:
    replay.run(ROOT / "examples/backend_events/history/*")
    log = replay.log()
    assert failure(replay, "--windows.shards=2", code=2) == (
        f"{replay.files}/inventory/_log.json: shards: expected 1, as this log was created with, got 2 from the job; "
        "change the job, or use another folder"
    )
    assert replay.log() == log


def test_temporary_folder_may_have_a_long_path(replay: Replay, scratch: Path, tmp_path: Path) -> None:
    replay.scratch = scratch / ("x" * 120)
    replay.scratch.mkdir()
    replay.run(history(tmp_path / "in"))
    assert replay.report()["reconciled"]
    assert list(replay.scratch.iterdir()) == []


def test_truncated_file_is_one_line_and_its_repair_completes_the_run(replay: Replay, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    history(source / "a.json", 600)
    whole = gzip.compress("".join(EVENT % (number, number % 60) for number in range(600, 90_000)).encode())
    (source / "b.json.gz").write_bytes(whole[: len(whole) // 2])
    assert failure(replay, source=source) == (
        f"{source / 'b.json.gz'}: cannot decompress gzip at byte {len(whole) // 2}: the file is cut off"
    )
    for times in replay.events().values():
        assert set(times.values()) == {1}
    (source / "b.json.gz").write_bytes(whole)
    replay.run(source)
    made = replay.report()
    assert (made["read"], made["accepted"] + made["duplicates"], made["reconciled"]) == (90_000, 90_000, True)
    assert sum(times.total() for times in replay.events().values()) == 90_000
    assert replay.sql("select count(*), count(distinct _event_id) from inventory_events") == [
        (90_000, 90_000)
    ]


def test_corrupt_gzip_block_is_one_line(replay: Replay, tmp_path: Path) -> None:
    whole = bytearray(gzip.compress((EVENT % (1, 1)).encode() * 20_000 + os.urandom(200_000)))
    whole[len(whole) // 2] ^= 0xFF
    (tmp_path / "in.gz").write_bytes(whole)
    assert re.fullmatch(
        rf"{tmp_path}/in\.gz: cannot decompress gzip at byte \d+: Error -3 while decompressing data: .+",
        failure(replay, source=tmp_path / "in.gz"),
    )


def test_locked_warehouse_is_one_line_and_the_next_run_completes(replay: Replay) -> None:
    replay.run(ROOT / "examples/backend_events/history/*")
    rows = replay.tables("_ingested_at")
    (replay.warehouse.with_suffix("") / "_views.sql").unlink()  # so that the next run must write
    hold = f"import duckdb; held = duckdb.connect({str(replay.warehouse)!r}); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        program = os.path.realpath(f"/proc/{holder.pid}/exe")
        assert failure(replay) == (
            f"{replay.warehouse}: expected to open the warehouse, but it is locked by process {holder.pid} "
            f"({program}); close it there and run again"
        )
        holder.communicate("\n")
    replay.run(ROOT / "examples/backend_events/history/*")
    assert replay.tables("_ingested_at") == rows


@pytest.mark.parametrize("place", ["files", "dead_letters", "warehouse", "scratch"])
def test_full_disk_is_one_line_and_more_room_completes_the_run(
    replay: Replay, tmp_path: Path, place: str
) -> None:
    source = history(tmp_path / "in", 40_000)
    with source.open("ab") as file:
        file.write(b"".join(b"%032x\n" % number * 2 for number in range(20_000)))
    clean = Replay(tmp_path / "clean", replay.scratch)
    clean.run(source)
    folder = replay.scratch / "disk"
    try:
        with small_disk(folder, "1m") as disk:
            whole = replay.scratch
            setattr(replay, place, disk / ("w.duckdb" if place == "warehouse" else "x"))
            if place == "scratch":
                replay.scratch.mkdir()
            line = failure(replay, source=source)
            assert line.count("No space left on device") == 1
            assert line.startswith(str(folder))
            for times in replay.events().values():
                assert set(times.values()) == {1}
            subprocess.run(["mount", "-o", "remount,size=200m", str(disk)], check=True)
            replay.run(source)
            assert replay.report()["reconciled"]
            assert replay.state() == clean.state()
            replay.scratch = whole
    except RuntimeError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"a small disk cannot be mounted: {error}")
