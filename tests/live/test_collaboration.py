"""`scripts/collaboration` on hostile histories, against the rules in plain Python; the keys that PostgreSQL has."""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from devservers import postgres
from devservers.dbt_command import dbt as run_dbt
from devservers.tools import ROOT, require_path
from examples.collaboration import diagram, generate
from examples.collaboration.warehouse import Postgres, open_warehouse
from tests.live.collaboration_history import History
from tests.live.collaboration_truth import Truth, truth

PIPELINE = ROOT / "examples/collaboration/pipeline.py"


@contextmanager
def sqlite(folder: Path) -> Iterator[str]:
    yield f"sqlite:///{folder}/warehouse.db"


@contextmanager
def duckdb(folder: Path) -> Iterator[str]:
    require_path("dbt/bin/dbt")
    yield f"duckdb:///{folder}/warehouse.duckdb"


@contextmanager
def postgresql(_: Path) -> Iterator[str]:
    require_path("dbt/bin/dbt")
    with postgres.start() as server:
        yield f"{server.url}?schema=docs"


def run(source: Path, url: str, out: Path, code: int = 0) -> str:
    """Run the pipeline; return what it said."""
    command = [sys.executable, str(PIPELINE), f"--source={source}", f"--warehouse={url}", f"--out={out}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stderr if code else done.stdout


def check(expected: Truth, out: Path) -> None:
    """Compare the ledger, and each table and metric row by row."""
    report = json.loads((out / "report.json").read_text())
    assert {name: report[name] for name in expected.ledger} == expected.ledger
    for name, rows in expected.tables().items():
        with (out / f"{name}.csv").open(newline="") as file:
            actual = list(csv.DictReader(file))
        columns = rows[0].keys()
        shown = sorted(comparable(row, columns) for row in actual)
        assert shown == sorted(comparable(row, columns) for row in rows), name


def comparable(row: Mapping[str, Any], columns: Any) -> list[str]:
    inexact = ("session_duration", "average_seconds")
    return [f"{float(row[name]):.3f}" if name in inexact else str(row[name]) for name in sorted(columns)]


def files(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.glob("*.csv")}


def constraints(url: str) -> set[tuple[str, ...]]:
    """Return table, name and type of the keys of the tables, and the table that a foreign key refers to."""
    query = """
        select
            conrelid::regclass::text,
            conname::text,
            contype::text,
            case when contype = 'f' then confrelid::regclass::text else '' end
        from pg_constraint
        where connamespace = 'docs'::regnamespace and contype in ('p', 'f')
        and conrelid::regclass::text in ('docs.users', 'docs.documents', 'docs.events', 'docs.sessions')
    """
    return {tuple(row) for row in ask(url, query)}


def ask(url: str, query: str) -> list[tuple[Any, ...]]:
    from adbc_driver_postgresql import dbapi

    with dbapi.connect(url.split("?", maxsplit=1)[0]) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        rows = cursor.fetchall() if cursor.description else []
        connection.commit()
        return list(rows)


CONSTRAINTS = {
    ("docs.users", "users_pkey", "p", ""),
    ("docs.documents", "documents_pkey", "p", ""),
    ("docs.events", "events_pkey", "p", ""),
    ("docs.sessions", "sessions_pkey", "p", ""),
    ("docs.documents", "documents_owner_id_fkey", "f", "docs.users"),
    ("docs.events", "events_user_id_fkey", "f", "docs.users"),
    ("docs.events", "events_document_id_fkey", "f", "docs.documents"),
    ("docs.sessions", "sessions_session_key_fkey", "f", "docs.events"),
    ("docs.sessions", "sessions_user_id_fkey", "f", "docs.users"),
}


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("place", "seed"), [(sqlite, 1), (duckdb, 2), (postgresql, 3)])
def test_tables_and_metrics_equal_the_truth_also_after_new_files(
    place: Any, seed: int, tmp_path: Path
) -> None:
    history = History(seed)
    records = history.records(800)
    source, out = tmp_path / "events", tmp_path / "out"
    written = history.write(source, records[::2])
    with place(tmp_path) as url:
        run(source, url, out)
        check(truth(written, datetime.now(UTC)), out)

        written += history.write(source, records[1::2], "later")
        run(source, url, out)
        check(truth(written, datetime.now(UTC)), out)

        before = files(out)
        assert run(source, url, tmp_path / "again").endswith("; 0 new events\n")
        assert files(tmp_path / "again") == before
        if place is postgresql:
            check_constraints(url, tmp_path)


def check_constraints(url: str, folder: Path) -> None:
    """They are there after each way to build a table anew, and they are enforced."""
    assert constraints(url) == CONSTRAINTS
    contents = "select * from docs.events order by event_id"
    before = ask(url, contents)
    for arguments in (("users",), ("documents", "--full-refresh"), ("events",), ("users", "--full-refresh")):
        dbt(url, folder, "run", "--select", *arguments)
        assert constraints(url) == CONSTRAINTS, arguments
    ask(url, "drop table docs.users cascade")
    dbt(url, folder, "run", "--select", "users")
    assert constraints(url) == CONSTRAINTS
    assert ask(url, contents) == before
    for statement, name in (
        ("update docs.events set user_id = 'nobody'", "events_user_id_fkey"),
        ("update docs.events set document_id = 'none'", "events_document_id_fkey"),
        ("update docs.documents set owner_id = 'nobody'", "documents_owner_id_fkey"),
        ("insert into docs.users select * from docs.users", "users_pkey"),
    ):
        with pytest.raises(Exception, match=name):
            ask(url, statement)


def dbt(url: str, folder: Path, *arguments: str) -> None:
    """Run dbt where the pipeline does."""
    warehouse = open_warehouse(url, folder)
    assert isinstance(warehouse, Postgres)
    command = ["--quiet", "--log-level-file=none", *arguments, "--target-path", str(folder / "target")]
    environment = {**os.environ, "PYTHONPATH": "", **warehouse.dbt_environment}
    done = run_dbt(command, environment, ROOT / "dbt")
    assert done.code == 0, done.out


def test_mistakes_end_in_one_line(tmp_path: Path) -> None:
    empty, out = tmp_path / "events", tmp_path / "out"
    empty.mkdir()
    missing = tmp_path / "nothing"
    url = f"sqlite:///{tmp_path}/w.db"
    said = run(missing, url, out, 1)
    assert said == f"collaboration: --source {missing}: expected a folder of events, got nothing\n"
    said = run(empty, "snowflake://u@a/d/s", out, 1)
    expected = "expected duckdb:///PATH, sqlite:///PATH or postgresql://USER@HOST/DATABASE, got another"
    assert said == f"collaboration: --warehouse: {expected}\n"


def test_address_of_the_warehouse_is_in_no_command_line(tmp_path: Path) -> None:
    events = tmp_path / "events"
    events.mkdir()
    (events / "broken.json").write_bytes(b"{}\n")
    command = [sys.executable, str(PIPELINE), f"--source={events}", f"--out={tmp_path}/out"]
    variables = {"PYTHONPATH": str(ROOT), "DOCS": f"sqlite:///{tmp_path}/s3cr3t.db"}
    titles: set[bytes] = set()
    for step in ("ingest", "check"):
        pipeline = subprocess.Popen(
            [*command, "--warehouse=${DOCS}", f"--only={step}"], env={**os.environ, **variables}
        )
        while pipeline.poll() is None:
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):  # it has ended
                    titles.add(file.read_bytes())
        assert pipeline.returncode == 0
    assert {line[3] for line in commands_of(titles) if line[2:3] == [b"sluice"]} >= {b"run", b"verify"}
    assert not [title for title in titles if variables["DOCS"].encode() in title]


def commands_of(titles: set[bytes]) -> list[list[bytes]]:
    return [title.split(b"\0") for title in titles]


def test_samples_show_three_anomalies_and_sqlite_enforces_their_keys(tmp_path: Path) -> None:
    import sqlite3

    out = tmp_path / "out"
    said = run(ROOT / "examples/collaboration/events", f"sqlite:///{tmp_path}/w.db", out)
    assert said == "read 3398 = accepted 3302 + repeated 56 + rejected 40; 3302 new events\n"
    with (out / "anomalies.csv").open(newline="") as file:
        anomalies = [tuple(row.values()) for row in csv.DictReader(file)]
    assert anomalies == [
        (
            "no_events",
            "2026-03-12",
            "",
            "0",
            "94",
            "Nothing happened on 2026-03-12, a working day; a working day usually has 94 events.",
        ),
        (
            "no_logins",
            "2026-03-19",
            "",
            "0",
            "18",
            "Nobody logged in on 2026-03-19, although there were 63 events; such a day usually has 18 logins.",
        ),
        (
            "edit_burst",
            "2026-03-25",
            "u008",
            "240",
            "2",
            "User u008 made 240 edits on 2026-03-25; on a day with edits, a user usually makes 2.",
        ),
    ]
    connection = sqlite3.connect(tmp_path / "w.db")
    connection.execute("pragma foreign_keys = on")
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY constraint failed"):
        connection.execute("update events set user_id = 'nobody'")
    connection.close()


def only(step: str, url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one step of the pipeline."""
    command = [sys.executable, str(PIPELINE), f"--only={step}", f"--warehouse={url}", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)


def test_steps_one_by_one_do_what_one_run_does(tmp_path: Path) -> None:
    url, out = f"sqlite:///{tmp_path}/w.db", tmp_path / "out"
    source = f"--source={ROOT}/examples/collaboration/events"
    early = only("export", url, f"--out={out}")
    assert early.returncode == 1
    assert early.stderr.endswith("got nothing; ingest first\n")
    for step, argument in (("ingest", "--source"), ("export", "--out")):
        lacking = only(step, url)
        assert lacking.returncode == 2
        assert f"the following arguments are required: {argument}\n" in lacking.stderr
    assert only("ingest", url, source).returncode == 0
    assert only("build", url).returncode == 0
    done = only("export", url, f"--out={out}")
    said = "read 3398 = accepted 3302 + repeated 56 + rejected 40; 3302 new events\n"
    assert (done.stdout, done.stderr) == (said, f"export: {out}\n")
    run(ROOT / "examples/collaboration/events", f"sqlite:///{tmp_path}/all.db", tmp_path / "all")
    assert files(out) == files(tmp_path / "all")
    assert (out / "report.json").read_text() == (tmp_path / "all/report.json").read_text()


def test_samples_are_what_the_generator_writes(tmp_path: Path) -> None:
    generate.write(tmp_path)
    written = {path.name: gzip.decompress(path.read_bytes()) for path in tmp_path.rglob("*.gz")}
    samples = (ROOT / "examples/collaboration/events").rglob("*.gz")
    assert written == {path.name: gzip.decompress(path.read_bytes()) for path in samples}


def test_diagram_is_that_of_the_models() -> None:
    text = diagram.PAGE.read_text("utf-8")
    assert diagram.page(text) == text


def test_macros_of_all_domains_have_different_names() -> None:
    texts = [path.read_text("utf-8") for path in (ROOT / "dbt/macros").glob("*.sql")]
    names = [name for text in texts for name in re.findall(r"\{% macro (\w+)", text)]
    assert sorted(set(names)) == sorted(names)
