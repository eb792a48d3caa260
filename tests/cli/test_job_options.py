"""Flags and job files that are wrong: one line, exit code 2, nothing started."""

from __future__ import annotations

from pathlib import Path

import pytest

from devservers.sluice_command import sluice
from tests.cli.failures import failure
from tests.end_to_end.replay_fixture import Replay, one_line


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (
            ["--source=ftp://host/x"],
            "--source: expected a path or a URL with one of dead-letters:, file://, gs://, http://, https://, "
            "kafka://, mongodb://, mongodb+srv://, pubsub://, s3://, got 'ftp://host/x'",
        ),
        (
            ["--files=ftp://host/x"],
            "--files: expected a local path, file:///path, gs://bucket/prefix or s3://bucket/prefix, "
            "got 'ftp://host/x'",
        ),
        (
            ["--files=gs://"],
            "--files: expected a local path, file:///path, gs://bucket/prefix or s3://bucket/prefix, got 'gs://'",
        ),
        (
            ["--warehouse=oracle://host/db"],
            "--warehouse: expected a URL with one of bigquery://, duckdb://, postgresql://, snowflake://, sqlite://, "
            "got 'oracle://host/db'",
        ),
        (
            ["--warehouse=duckdb:///w"],
            "--warehouse: duckdb:///w: path: expected a path with a suffix, such as .duckdb, and without * ? [ ], "
            "got 'w'",
        ),
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
            "--sorce: neither a key of the job file nor an option of Beam; see sluice run --help",
        ),
        (
            ["--windows.count", "10s"],
            "--windows.count: neither a key of the job file nor an option of Beam; see sluice run --help",
        ),
        (["more"], "more: neither a key of the job file nor an option of Beam; see sluice run --help"),
    ],
)
def test_wrong_flag_is_one_line_and_starts_nothing(replay: Replay, flags: list[str], line: str) -> None:
    assert failure(replay, *flags, code=2) == line
    assert list(replay.folder.rglob("*")) == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("sorce: x\n", "{job}: sorce: unknown key; did you mean source?"),
        ("windows: {count: 10s}\n", "{job}: windows.count: unknown key; did you mean windows.counts?"),
        ("title: x\n", "{job}: title: unknown key; expected one of name, contracts, source, files, warehouse, "
         "dead_letters, route_by, retry_for, quarantine, privacy_key, safe_attributes, load, max_rejected, "
         "windows.counts, windows.flush, windows.allowed_lateness, windows.max_skew, windows.shards, "
         "relative_to"),
        ("windows: 10s\n", "{job}: windows: expected a mapping such as {{counts: 10s}}, got '10s'"),
        ("name: [a]\n", "{job}: name: expected text, got ['a']"),
        ("files: ${{NOT_SET_HERE}}/x\n", "{job}: files: expected the environment variable NOT_SET_HERE, got nothing; "
         "set it"),
        ("", "{job}: expected a mapping of keys such as name and source, got nothing"),
        ("name: x\n", "{job}: contracts: expected this key, got nothing; add it or pass --contracts"),
        ("name: x\ncontracts: schemas/backend_events\nsource: x\nfiles: x\nwarehouse: x\ndead_letters: x\n",
         "{job}: route_by: expected the property that tells inventory, order, user_activity apart, got nothing"),
    ],
)  # fmt: skip
def test_wrong_job_file_is_one_line(tmp_path: Path, text: str, line: str) -> None:
    job = tmp_path / "job.yaml"
    job.write_text(text.replace("{{", "{").replace("}}", "}"))
    assert one_line(sluice("run", str(job)), 2) == f"sluice: {line.format(job=job)}"


def test_unreadable_job_file_is_one_line(tmp_path: Path) -> None:
    assert one_line(sluice("run", "none.yaml"), 2) == (
        "sluice: none.yaml: cannot read the job file: No such file or directory"
    )
    assert one_line(sluice("load", str(tmp_path)), 2) == (
        f"sluice: {tmp_path}: cannot read the job file: Is a directory"
    )
    (tmp_path / "bad.yaml").write_bytes(b"name: [\n")
    assert one_line(sluice("run", str(tmp_path / "bad.yaml")), 2).startswith(
        f"sluice: {tmp_path / 'bad.yaml'}: line 2, column 1: expected YAML, got a mistake: expected the node content"
    )
    (tmp_path / "bad.yaml").write_bytes(b"name: \xff\n")
    assert one_line(sluice("run", str(tmp_path / "bad.yaml")), 2).startswith(
        f"sluice: {tmp_path / 'bad.yaml'}: expected YAML in UTF-8, got a mistake: invalid start byte at position 6"
    )
