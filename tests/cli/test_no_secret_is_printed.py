"""No command shows or stores the secret of an address, wherever it was written, whether it fails or succeeds."""

from __future__ import annotations

import io
import json
import logging
import os
import pickle
import traceback
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from sluice.addresses import mask_addresses, mask_text
from sluice.cli.commands import COMMANDS
from sluice.cli.main import main
from sluice.cli.output import logging_to_standard_error, print_traceback
from sluice.config.urls import Url
from sluice.errors import SluiceError
from sluice.sources import SOURCES, open_source, parse_source
from sluice.storage import open_store, s3
from sluice.warehouses import WAREHOUSES, open_warehouse, parse_warehouse

from devservers.http_api import HttpRequest, HttpResponse, start
from devservers.sluice_command import sluice
from tests.cli.secret_places import (
    ADDRESSES,
    COMMAND_LINES,
    DOCUMENTS,
    JOB,
    KEYS,
    PLACES,
    SECRET,
    VALUES,
    VARIABLE,
    job_file,
)

SCHEMES = [
    *((open_source, scheme) for scheme in (*SOURCES, "KAFKA", "ftp", "amqp") if scheme != "file"),
    *((open_warehouse, scheme) for scheme in (*WAREHOUSES, "postgres", "POSTGRES", "mysql")),
    *((open_warehouse, scheme) for scheme in ("jdbc:postgresql", "DuckDB")),
    *((open_store, scheme) for scheme in ("s3", "gs", "S3", "az")),
]
SHOWS_ITS_USER = ("postgresql", "snowflake")
PATHS = ("dead-letters", "file", "duckdb", "sqlite")
"""Schemes with a path alone behind them, in which any character is usual."""

FLAGS = {"tables": ["--diff"], "publish": ["--generate", "--count=1"], "redeliver": ["--dry-run"]}
WITH_JOB = ("run", "load", "verify", "tables", "publish", "redeliver", "dead-letters", "check")
AFTER_SECONDS = {("run", "source"): {"http", "a signed URL", "dead-letters", "a folder with a password"}}
"""What a command reads for seconds before it fails: the suites of the connectors try such errors."""

UNUSED = {
    ("load", "source"),
    ("verify", "source"),
    ("tables", "source"),
    ("redeliver", "source"),
    ("dead-letters", "source"),
}
TRY_FOR_MINUTES = {("publish", "a signed URL"), ("init", "gs"), ("infer", "gs")}
"""Commands whose clients of S3 and of Google ask again and again where nobody answers, and what they are given."""

PLACES_OF_A_JOB = ("source", "files", "warehouse", "dead_letters", "quarantine")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(s3, "RETRY_TIMEOUT", timedelta(seconds=1))


def printed(*arguments: str) -> str:
    """Return what a command prints on both streams, with its traceback."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        assert main(["--debug", *arguments]) in (0, 1, 2)
    text = out.getvalue() + err.getvalue()
    assert text
    return text


def all_text(error: BaseException) -> str:
    """Return what any printer of exceptions could show of one."""
    return "".join(traceback.format_exception(error)) + repr(error) + str(error)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("open_address", "scheme"), SCHEMES, ids=lambda value: value if isinstance(value, str) else value.__name__
)
def test_secret_at_any_place_of_an_address_is_in_no_error_and_no_repr(
    open_address: Callable[[Any], Any], scheme: str, place: str
) -> None:
    if place == "another language" and open_address is not open_warehouse:
        return  # a local path, which is shown
    if place == "user" and scheme in SHOWS_ITS_USER:
        return  # their user is declared, and shown
    if place == "option without a name" and scheme in (*PATHS, "s3", "gs"):
        return  # a path, in which `?` is usual
    if scheme == "dead-letters" and place in ("option code", "parameter", "one slash"):
        return  # a declared option that is shown, and paths
    text = PLACES[place].format(scheme=scheme, secret=SECRET, path="shop.products")
    texts = []
    if place != "another language":
        texts += [str(Url(text)), repr(Url(text)), repr(pickle.dumps(Url(text))), mask_text(text)]
    if text.startswith(f"{scheme}://"):
        texts.append(mask_addresses(f"ClientError: no answer of '{text}' (after 3 attempts)"))
    try:
        opened = open_address(Url(text, where="--source"))
    except SluiceError as error:
        texts.append(all_text(error))
    else:
        texts += [repr(opened), str(opened)]
        if open_address is not open_store:
            parsed = (parse_source if open_address is open_source else parse_warehouse)(text)
            texts += [repr(parsed), str(parsed.url)]
    assert not [shown for shown in texts if SECRET in shown]


def test_every_connector_and_command_is_tried() -> None:
    assert {*SOURCES, *WAREHOUSES} - {*ADDRESSES} == {*PATHS} - {"dead-letters"}
    names = {command.name for command in COMMANDS}
    assert {line[0] for line in COMMAND_LINES} - {"{}"} == names
    assert {*WITH_JOB} < names


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("given", [*ADDRESSES, *VALUES])
def test_value_of_a_job_file_is_checked_without_its_secret(
    key: str, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, SECRET if given == "a text with a variable" else ADDRESSES["kafka"])
    file = job_file(key, ADDRESSES.get(given) or VALUES[given])
    assert SECRET not in printed("check", str(file))
    if key not in PLACES_OF_A_JOB:
        assert SECRET not in printed("tables", str(file), "--diff")


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # sockets that end with a process
@pytest.mark.parametrize("key", PLACES_OF_A_JOB)
@pytest.mark.parametrize("command", WITH_JOB)
def test_no_command_prints_the_secret_of_a_place(command: str, key: str) -> None:
    for name, address in ADDRESSES.items():
        if (command, key) not in UNUSED and name not in AFTER_SECONDS.get((command, key), ()):
            assert SECRET not in printed(command, str(job_file(key, address)), *FLAGS.get(command, []))


@pytest.mark.parametrize("key", KEYS)
def test_no_flag_prints_the_secret_of_an_address(key: str) -> None:
    file = str(job_file("name", "shop"))
    for address in ADDRESSES.values():
        assert SECRET not in printed("redeliver", file, "--dry-run", f"--{key.replace('_', '-')}={address}")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_mistake_in_a_job_file_is_printed_without_a_secret(document: str) -> None:
    Path("job.yaml").write_text(document)
    for command in ("check", "run"):
        assert SECRET not in printed(command, "job.yaml")


@pytest.mark.parametrize("line", COMMAND_LINES, ids=" ".join)
def test_mistake_in_a_command_line_is_printed_without_a_secret(line: list[str]) -> None:
    job_file("name", "shop")
    for name, address in ADDRESSES.items():
        if (line[0], name) not in TRY_FOR_MINUTES:
            assert SECRET not in printed(*[word.format(address) for word in line])


def test_setting_of_a_variable_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, SECRET)
    text = printed("check", str(job_file("windows.flush", f"${{{VARIABLE}}}")))
    assert text == (
        "job.yaml: windows.flush: expected a duration with its unit, such as 500ms, 10s, 5m, 2h or 7d, "
        "got '${SLUICE_TEST_SETTING}'\n"
    )


class SecretApi:
    """An API of three pages whose links repeat its key, and what each process on the machine was called meanwhile."""

    def __init__(self) -> None:
        self.titles: set[bytes] = set()

    def respond(self, request: HttpRequest) -> HttpResponse:
        assert request.query["api_key"] == SECRET
        assert request.headers["Authorization"] == f"Bearer {SECRET}"
        for process in Path("/proc").glob("[0-9]*"):
            for name in ("cmdline", "comm"):
                try:
                    self.titles.add((process / name).read_bytes())
                except OSError:
                    continue  # it has ended
        page = int(request.query.get("cursor", "0"))
        record = {"user_id": "U1", "timestamp": f"2025-01-10T10:{page:02d}:00Z", "event_type": "view"}
        body: dict[str, Any] = {"data": [record, {**record, "user_id": page}, {**record, "surplus": 1}]}
        if page < 2:
            body["next"] = f"{request.path}?api_key={SECRET}&cursor={page + 1}"
        return HttpResponse(200, json.dumps(body).encode())


def stored_texts(folder: Path) -> Iterator[bytes]:
    """Yield the content of each file, and of each table of the warehouse."""
    for file in folder.rglob("*"):
        if file.is_file():
            yield file.read_bytes()
    with duckdb.connect("w.duckdb", read_only=True) as warehouse:
        for (table,) in warehouse.execute("SELECT table_name FROM information_schema.tables").fetchall():
            yield str(warehouse.execute(f'SELECT * FROM "{table}"').fetchall()).encode()  # noqa: S608  names of tables of the warehouse


@pytest.mark.long
def test_commands_that_succeed_print_and_store_no_secret(tmp_path: Path) -> None:
    environment = {"API_TOKEN": SECRET, "API_KEY": SECRET}
    folder = tmp_path / "run"
    folder.mkdir()
    os.chdir(folder)
    api = SecretApi()
    with start(api.respond) as server:
        source = f"{server.url}/logs?api_key=${{API_KEY}}#token=API_TOKEN&keep={folder}/pages"
        job = {**JOB, "contracts": JOB["contracts"].replace("sale", "customer_log")}
        places = {
            "files": f"{folder}/files",
            "dead_letters": f"{folder}/dead",
            "warehouse": f"duckdb:///{folder}/w.duckdb",
        }
        file = tmp_path / "job.yaml"
        file.write_text(json.dumps({**job, "source": source, **places}))
        commands = (
            ["check", str(file)],
            ["run", str(file), f"--report={folder}/report.json"],
            ["verify", str(file)],
            ["tables", str(file), "--diff"],
            ["redeliver", str(file), "--dry-run"],
            ["report", f"{folder}/report.json"],
        )
        ended = [sluice("--debug", *command, environment=environment) for command in commands]
    assert [done.code for done in ended] == [0] * len(commands)
    assert ended[1].out.count("│") > 10
    assert not [done for done in ended if SECRET in done.out + done.err]
    texts = list(stored_texts(folder))
    assert any(b"dead_letter" in text for text in texts)
    assert not [text for text in texts if SECRET.encode() in text]
    assert len(api.titles) > 2
    assert not [title for title in api.titles if SECRET.encode() in title]


def test_debug_shows_a_traceback_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        message = f"no answer of https://u:{SECRET}@h/x?token={SECRET}"
        raise ValueError(message)

    try:
        fail()
    except ValueError as error:
        print_traceback(error)
    err = capsys.readouterr().err
    assert err.startswith("Traceback (most recent call last):\n")
    assert err.endswith("ValueError: no answer of https://h/x\n")
    assert SECRET not in err


def test_warnings_of_libraries_are_not_printed(capfd: pytest.CaptureFixture[str]) -> None:
    handlers = logging.root.handlers
    logging.root.handlers = []
    try:
        with logging_to_standard_error():
            logging.getLogger("urllib3").warning("Retrying after https://h/x?token=%s", SECRET)
            logging.getLogger("sluice").info("ready")
    finally:
        logging.root.handlers = handlers
    err = capfd.readouterr().err
    assert err.endswith("sluice: ready\n")
    assert SECRET not in err
