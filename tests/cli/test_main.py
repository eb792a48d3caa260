"""The command line as a user meets it: exit codes, one clear line, help; never a traceback."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sluice.warehouses import WAREHOUSES

from tests.runtime.replay_bench import JOB, ROOT, SLUICE, Replay, one_line, sluice, small_disk

COMMANDS = ("run", "load", "tables", "publish", "redeliver", "check", "generate", "report")
EVENT = (
    '{"event_type":"inventory","inventory_id":"9e107d9d-0000-4000-8000-%012x","quantity_change":1,'
    '"product_id":"9e107d9d-0000-4000-8000-00000000002a","reason":"sale",'
    '"warehouse_id":"9e107d9d-0000-4000-8000-00000000002a","timestamp":"2025-02-08T13:%02d:00Z"}\n'
)


def history(file: Path, events: int = 600, minutes: int = 60) -> Path:
    file.write_text("".join(EVENT % (number, number % minutes) for number in range(events)))
    return file


@pytest.fixture
def scratch() -> Iterator[Path]:
    with TemporaryDirectory(prefix="replay") as folder:
        yield Path(folder)


@pytest.fixture
def replay(tmp_path: Path, scratch: Path) -> Replay:
    return Replay(tmp_path / "out", scratch)


def failure(replay: Replay, *flags: str, source: object = None, code: int = 1) -> str:
    """Run and return the one line that it fails with, without `sluice: `."""
    done = replay.run(
        ROOT / "examples/backend_events/history/*" if source is None else source, *flags, code=code
    )
    assert done.out == ""
    assert done.err.startswith("sluice: ")
    return done.err.removeprefix("sluice: ").rstrip("\n")


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (
            ["--source=ftp://host/x"],
            "ftp://host/x: expected a path or one of dead-letters:, file://, gs://, http://, https://, kafka://, "
            "mongodb://, mongodb+srv://, pubsub://, s3://, got the scheme 'ftp'",
        ),
        (
            ["--files=ftp://host/x"],
            "ftp://host/x: expected a local path, file:///path, gs://bucket/prefix or s3://bucket/prefix, "
            "got the scheme 'ftp'",
        ),
        (
            ["--files=gs://"],
            "'gs://': expected a local path, file:///path, gs://bucket/prefix or s3://bucket/prefix, got no bucket",
        ),
        (
            ["--warehouse=oracle://host/db"],
            "warehouse: expected a URL that starts with one of"
            f" {', '.join(f'{scheme}://' for scheme in WAREHOUSES)}; got 'oracle://host/db'",
        ),
        (["--warehouse=duckdb:///w"], "warehouse: expected duckdb:///PATH.duckdb, got 'duckdb:///w'"),
        (
            ["--windows.counts=10"],
            "--windows.counts: expected a duration with its unit, such as 500ms, 10s, 5m, 2h or 7d, got '10'",
        ),
        (
            ["--windows.max-skew", "10 minutes"],
            "--windows.max-skew: expected a duration with its unit, such as 500ms, 10s, 5m, 2h or 7d, "
            "got '10 minutes'",
        ),
        (
            ["--windows.counts=7s"],
            "--windows.counts: expected a whole part of a minute, such as 5s, 10s, 30s or 1m, got '7s'",
        ),
        (["--windows.shards=0"], "--windows.shards: expected a whole number from 1 to 64, got '0'"),
        (["--source="], "--source: expected text, got ''"),
        (
            ["--contracts=nowhere"],
            "nowhere: expected a contract, got: No such file or directory",
        ),
        (
            ["--sorce=history/*"],
            "--sorce=history/*: neither a key of the job file nor an option of Beam; see sluice run --help",
        ),
        (
            ["--windows.count", "10s"],
            "--windows.count 10s: neither a key of the job file nor an option of Beam; see sluice run --help",
        ),
        (["more"], "more: neither a key of the job file nor an option of Beam; see sluice run --help"),
    ],
)
def test_a_wrong_flag_is_one_line_and_nothing_is_started(replay: Replay, flags: list[str], line: str) -> None:
    assert failure(replay, *flags, code=2) == line
    assert list(replay.folder.rglob("*")) == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("sorce: x\n", "{job}: sorce: unknown key; expected one of name, contracts, source, files, warehouse, "
         "dead_letters, route_by, retry_for, quarantine, privacy_key, load, windows.counts, windows.flush, "
         "windows.allowed_lateness, windows.max_skew, windows.shards"),
        ("windows: {count: 10s}\n", "{job}: windows.count: unknown key; expected one of name, contracts, source, "
         "files, warehouse, dead_letters, route_by, retry_for, quarantine, privacy_key, load, windows.counts, "
         "windows.flush, windows.allowed_lateness, windows.max_skew, windows.shards"),
        ("windows: 10s\n", "{job}: windows: expected a mapping such as {{counts: 10s}}, got '10s'"),
        ("name: [a]\n", "{job}: name: expected text, got ['a']"),
        ("files: ${{NOT_SET_HERE}}/x\n", "{job}: files: expected the environment variable NOT_SET_HERE, got nothing; "
         "set it"),
        ("", "{job}: expected a mapping of keys such as name and source, got NoneType"),
        ("name: x\n", "{job}: contracts: expected this key, got nothing; add it or pass --contracts"),
        ("name: x\ncontracts: schemas/backend_events\nsource: x\nfiles: x\nwarehouse: x\ndead_letters: x\n",
         "{job}: route_by: expected the property that tells inventory, order, user_activity apart, got nothing"),
    ],
)  # fmt: skip
def test_a_wrong_job_file_is_one_line(tmp_path: Path, text: str, line: str) -> None:
    job = tmp_path / "job.yaml"
    job.write_text(text.replace("{{", "{").replace("}}", "}"))
    assert one_line(sluice("run", str(job)), 2) == f"sluice: {line.format(job=job)}"


def test_a_job_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    assert one_line(sluice("run", "none.yaml"), 2) == (
        "sluice: none.yaml: cannot read the job file: No such file or directory"
    )
    assert one_line(sluice("load", str(tmp_path)), 2) == (
        f"sluice: {tmp_path}: cannot read the job file: Is a directory"
    )
    (tmp_path / "bad.yaml").write_bytes(b"name: [\n")
    assert one_line(sluice("run", str(tmp_path / "bad.yaml")), 2).startswith(
        f"sluice: {tmp_path / 'bad.yaml'}: expected YAML, got: while parsing a flow node"
    )
    (tmp_path / "bad.yaml").write_bytes(b"name: \xff\n")
    assert one_line(sluice("run", str(tmp_path / "bad.yaml")), 2).startswith(
        f"sluice: {tmp_path / 'bad.yaml'}: expected YAML, got: 'utf-8' codec can't decode byte 0xff"
    )


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda path: None, "no file matches '{path}'"),
        (lambda path: path.symlink_to("nowhere"), "{path}: cannot read: No such file or directory"),
        (os.mkfifo, "{path}: cannot read: expected a file"),
        (lambda path: path.mkdir(), "no file matches '{path}'"),
    ],
)
def test_a_source_that_is_not_there_is_one_line(
    replay: Replay, tmp_path: Path, make: Callable[[Path], None], line: str
) -> None:
    make(tmp_path / "source")
    assert failure(replay, source=tmp_path / "source") == line.format(path=tmp_path / "source")
    assert replay.log() == {}


def test_a_file_that_may_not_be_read_is_one_line(replay: Replay, tmp_path: Path) -> None:
    history(tmp_path / "in").chmod(0)
    assert failure(replay, source=tmp_path / "in") == f"{tmp_path}/in: cannot open: Permission denied"


def test_a_name_that_is_not_utf_8_is_one_line(replay: Replay, tmp_path: Path) -> None:
    history(tmp_path / os.fsdecode(b"a\xff.json"))
    assert (
        failure(replay, source=tmp_path / "*.json")
        == f"{tmp_path}/a?.json: cannot read: expected a name in UTF-8"
    )


@pytest.mark.parametrize("key", ["files", "dead-letters"])
def test_a_folder_that_cannot_be_made_is_one_line(replay: Replay, tmp_path: Path, key: str) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "below"
    inner = folder / "inventory" if key == "files" else folder
    assert failure(replay, f"--{key}={folder}") == f"{inner}: cannot write _log.json: Not a directory"


def test_a_warehouse_that_cannot_be_written_is_one_line(replay: Replay, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    warehouse = tmp_path / "file" / "w.duckdb"
    assert failure(replay, f"--warehouse=duckdb:///{warehouse}") == (
        f"{tmp_path}/file/w/_segments/event_date=1970-01-01: expected to read or write the warehouse: Not a directory"
    )


@pytest.mark.parametrize("damage", [b"SQLite format 3\0" * 100, b"x" * 10, b"x" * 100_000])
def test_a_warehouse_file_that_is_none_is_one_line_and_left_alone(replay: Replay, damage: bytes) -> None:
    replay.folder.mkdir()
    replay.warehouse.write_bytes(damage)
    assert failure(replay).startswith(f"{replay.warehouse}: expected a DuckDB database that can be written: ")
    assert replay.warehouse.read_bytes() == damage


def test_a_log_of_other_shards_is_refused(replay: Replay) -> None:
    replay.run(ROOT / "examples/backend_events/history/*")
    log = replay.log()
    assert failure(replay, "--windows.shards=2", code=2) == (
        f"{replay.files}/inventory/_log.json: shards: expected 1, as this log was created with, got 2 from the job; "
        "change the job, or use another folder"
    )
    assert replay.log() == log


@pytest.mark.parametrize(
    ("report", "reason"),
    [
        ("file/report.json", "Not a directory"),
        ("file/below/report.json", "Not a directory"),
        ("", "Is a directory"),
    ],
)
def test_a_report_that_cannot_be_written_is_told_before_the_run(
    replay: Replay, tmp_path: Path, report: str, reason: str
) -> None:
    (tmp_path / "file").touch()
    replay.report_file = tmp_path / report
    assert failure(replay, code=2) == f"{tmp_path / report}: cannot write the report: {reason}"
    assert not replay.files.exists()


def test_the_folder_of_a_report_is_made(replay: Replay, tmp_path: Path) -> None:
    replay.report_file = tmp_path / "new" / "folder" / "report.json"
    replay.run(history(tmp_path / "in"))
    assert replay.report()["reconciled"]


def test_a_temporary_folder_with_a_long_path_is_one_line_or_no_matter(replay: Replay, scratch: Path) -> None:
    replay.scratch = scratch / ("x" * 120)
    replay.scratch.mkdir()
    assert failure(replay, code=2) == f"TMPDIR: expected a path of at most 68 bytes, got {replay.scratch}"
    assert list(replay.scratch.iterdir()) == []


def test_a_file_cut_off_halfway_is_one_line_and_its_repair_completes_the_run(
    replay: Replay, tmp_path: Path
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    history(source / "a.json", 600)
    whole = gzip.compress("".join(EVENT % (number, number % 60) for number in range(600, 90_000)).encode())
    (source / "b.json.gz").write_bytes(whole[: len(whole) // 2])
    assert failure(replay, source=source) == (
        f"{source / 'b.json.gz'}: cannot unpack gzip at byte {len(whole) // 2}: the file is cut off"
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


def test_a_damaged_block_is_one_line(replay: Replay, tmp_path: Path) -> None:
    whole = bytearray(gzip.compress((EVENT % (1, 1)).encode() * 20_000 + os.urandom(200_000)))
    whole[len(whole) // 2] ^= 0xFF
    (tmp_path / "in.gz").write_bytes(whole)
    assert re.fullmatch(
        rf"{tmp_path}/in\.gz: cannot unpack gzip at byte \d+: Error -3 while decompressing data: .+",
        failure(replay, source=tmp_path / "in.gz"),
    )


def test_a_warehouse_that_another_process_holds_is_one_line_and_waited_for(replay: Replay) -> None:
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
def test_a_full_disk_is_one_line_and_more_room_completes_the_run(
    replay: Replay, tmp_path: Path, place: str
) -> None:
    source = history(tmp_path / "in", 40_000)
    with source.open("ab") as file:
        file.write(b"".join(b"%032x\n" % number * 2 for number in range(20_000)))
    clean = Replay(tmp_path / "clean", replay.scratch)
    clean.run(source)
    folder = replay.scratch / "disk"  # tmp_path may be too long for a TMPDIR
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


def test_help_says_what_each_command_does_with_an_example() -> None:
    done = sluice("--help")
    assert (done.code, done.err) == (0, "")
    for command in COMMANDS:
        assert re.search(rf"^    {command} +\w", done.out, re.MULTILINE)
        own = sluice(command, "--help")
        assert (own.code, own.err) == (0, "")
        assert own.out.startswith(f"usage: sluice {command}")
        assert f"Example: sluice {command} " in own.out
    for flag in (
        "--source",
        "--files",
        "--warehouse",
        "--dead-letters",
        "--windows.counts",
        "--windows.shards",
        "--report",
    ):
        assert flag in sluice("run", "--help").out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "sluice: error: the following arguments are required: COMMAND"),
        (
            ["rum"],
            "sluice: error: argument COMMAND: invalid choice: 'rum' (choose from 'run', 'load', 'tables', 'publish', "
            "'redeliver', 'check', 'generate', 'report')",
        ),
        (["run"], "sluice run: error: the following arguments are required: JOB"),
        (["check", "--agains=x"], "sluice: error: unrecognized arguments: --agains=x"),
        (["report"], "sluice report: error: the following arguments are required: FILE"),
    ],
)
def test_a_wrong_command_is_told_with_its_usage(arguments: list[str], line: str) -> None:
    done = sluice(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("usage: sluice")
    assert done.err.splitlines()[-1] == line


def test_python_m_pipeline_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sluice", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == sluice("--help").out


def test_check_finds_nothing_to_mend_and_names_what_there_is(tmp_path: Path) -> None:
    assert sluice("check") == (0, "schemas, jobs: nothing to mend\n", "")
    assert sluice("check", JOB) == (0, f"{JOB}: nothing to mend\n", "")
    (tmp_path / "job.yaml").write_text("sorce: x\n")
    done = sluice("check", str(tmp_path / "job.yaml"))
    assert (done.code, done.err) == (1, "")
    assert done.out.startswith(f"{tmp_path / 'job.yaml'}: sorce: unknown key; expected one of name, ")
    assert one_line(sluice("check", "nowhere"), 2) == (
        "sluice: nowhere: expected a contract, a job file or a folder of them, got nothing there"
    )
    assert one_line(sluice("check", "--against", "no-such-revision"), 2) == (
        "sluice: --against no-such-revision: expected a folder or a git revision; git rev-parse: there is none of "
        "that name"
    )


def test_what_is_generated_is_up_to_date() -> None:
    assert sluice("generate", "--check") == (0, "all generated files are up to date\n", "")


def test_a_saved_report_is_printed(replay: Replay, tmp_path: Path) -> None:
    done = replay.run(ROOT / "examples/backend_events/history/*")
    assert done.out.splitlines()[-3:] == [
        f"files: {replay.files}",
        f"warehouse: duckdb:///{replay.warehouse}",
        f"dead letters: {replay.dead_letters}",
    ]
    saved = sluice("report", str(replay.report_file))
    assert (saved.code, saved.err) == (0, "")
    assert saved.out.splitlines() == done.out.splitlines()[:-3]
    assert (
        "│ all           │ 4,201 │    3,950 │      150 │      101 │  3,950 │       0 │      120 │"
        in saved.out
    )

    unbalanced = replay.report() | {"reconciled": False}
    (tmp_path / "other.json").write_text(json.dumps(unbalanced))
    assert sluice("report", str(tmp_path / "other.json")).code == 1
    strange = replay.report() | {"rejections": {"code_of_tomorrow": 1}}
    (tmp_path / "other.json").write_text(json.dumps(strange))
    assert sluice("report", str(tmp_path / "other.json")).err == ""


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot read the report: No such file or directory"),
        (b"", "expected a run report as --report writes it: Input data was truncated"),
        (b"{}", "expected a run report as --report writes it: Object missing required field `read`"),
        (
            b"\xff",
            "expected a run report as --report writes it: JSON is malformed: invalid character (byte 0)",
        ),
    ],
)
def test_a_report_that_is_none_is_one_line(tmp_path: Path, content: bytes | None, reason: str) -> None:
    file = tmp_path / "report.json"
    if content is not None:
        file.write_bytes(content)
    assert one_line(sluice("report", str(file)), 2) == f"sluice: {file}: {reason}"


@pytest.mark.parametrize("command", [["check"], ["report"], ["--help"]])
def test_a_reader_that_stops_reading_makes_no_traceback(replay: Replay, command: list[str]) -> None:
    if command == ["report"]:
        replay.run(ROOT / "examples/backend_events/history/*")
        command = ["report", str(replay.report_file)]
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        done = subprocess.run(
            [SLUICE, *command], cwd=ROOT, stdout=closed, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.stderr.count("\n") <= 1
    assert "Traceback" not in done.stderr
