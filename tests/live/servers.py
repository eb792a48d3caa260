"""Real servers for live tests: on free loopback ports, ended exactly, and gone after a while in any case."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import Request, urlopen

import pytest

TOOLS = Path(__file__).parents[2] / ".tools" / "bin"

LIFETIME = 900
"""Seconds until a server ends by itself, should the tests that started it be killed."""

START_TIMEOUT = 60

_GUARD = "import subprocess, sys; subprocess.run(sys.argv[2:], timeout=float(sys.argv[1]), check=False)"


class ServerError(Exception):
    """A server did not start."""


_POSTGRES = "/usr/lib/postgresql/*/bin"
"""Where Debian keeps PostgreSQL's programs: not on PATH."""


def find_tool(name: str) -> str | None:
    """Path of an installed tool: from `.tools/bin`, beside this interpreter, from PATH, or PostgreSQL's own."""
    places = [str(TOOLS), str(Path(sys.executable).parent), os.environ["PATH"]]
    return shutil.which(name, path=os.pathsep.join([*places, *sorted(glob(_POSTGRES), reverse=True)]))


def require(name: str) -> str:
    """Return the path of a tool; without it skip the test with the reason, or fail it in CI."""
    path = find_tool(name)
    if path is None:
        reason = f"{name} is not installed; `scripts/tools` installs it into .tools/bin"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


def require_tool(path: str) -> Path:
    """Return a program of a tool that has a folder of its own in `.tools`; without it do as `require` does."""
    found = TOOLS.parent / path
    return found if found.exists() else Path(require(path))


def free_port() -> int:
    """Return a loopback port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def serving(command: Sequence[str], port: int) -> Iterator[None]:
    """Run a server that listens on a loopback port; end it and whatever it started when the block ends."""
    guarded = [sys.executable, "-c", _GUARD, str(LIFETIME), *command]
    with subprocess.Popen(
        guarded,
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            _wait_until_listening(process, port, command[0])
            yield
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # it ended by itself


def _wait_until_listening(process: subprocess.Popen[bytes], port: int, name: str) -> None:
    for _ in range(START_TIMEOUT * 10):
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            pass
        try:
            code = process.wait(timeout=0.1)
        except subprocess.TimeoutExpired:
            continue
        message = f"{name}: ended with code {code} before it listened"
        raise ServerError(message)
    message = f"{name}: did not listen within {START_TIMEOUT} s"
    raise ServerError(message)


@contextmanager
def gcs(bucket: str) -> Iterator[dict[str, str]]:
    """Run the GCS emulator with one empty bucket; yield the environment that leads clients to it."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        find_tool("fake-gcs-server") or "fake-gcs-server",
        "-scheme=http",
        "-host=127.0.0.1",
        f"-port={port}",
    ]
    command += [
        "-backend=memory",
        f"-external-url={url}",
        f"-public-host=127.0.0.1:{port}",
        "-log-level=error",
    ]
    with serving(command, port):
        body = f'{{"name": "{bucket}"}}'.encode()
        _request(Request(f"{url}/storage/v1/b?project=emulator", body, {"Content-Type": "application/json"}))
        yield {"STORAGE_EMULATOR_HOST": url}


@contextmanager
def s3(bucket: str) -> Iterator[dict[str, str]]:
    """Run the S3 emulator with one empty bucket; yield the environment that leads clients to it."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with serving([find_tool("moto_server") or "moto_server", "-H", "127.0.0.1", "-p", str(port)], port):
        _request(Request(f"{url}/{bucket}", method="PUT"))
        yield {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


@contextmanager
def bigquery(folder: Path) -> Iterator[dict[str, str]]:
    """Run the BigQuery emulator with its data in `folder`; yield the environment that leads clients to it.

    It knows the project `emulator`. DuckDB, its engine, looks for extensions in the home of its user only.
    """
    python = require_tool("bigquery/bin/python")
    subprocess.run([str(python), "-c", _LINK_EXTENSIONS, str(folder)], check=True)
    port = free_port()
    command = ["env", f"HOME={folder}", str(python), "-c", _ATOMIC, "--host", "127.0.0.1"]
    command += ["--port", str(port), "--grpc-port", str(free_port()), "--project", "emulator"]
    with serving([*command, "--data-dir", str(folder / "data"), "serve"], port):
        yield {"BIGQUERY_EMULATOR_HOST": f"http://127.0.0.1:{port}"}


_LINK_EXTENSIONS = """
import duckdb, pathlib, sys, sysconfig
(platform,) = duckdb.sql("PRAGMA platform").fetchone()
place = pathlib.Path(sys.argv[1], ".duckdb", "extensions", f"v{duckdb.__version__}", platform)
place.mkdir(parents=True, exist_ok=True)
for each in pathlib.Path(sysconfig.get_path("purelib")).glob("duckdb_extension_*/extensions/*/*.duckdb_extension"):
    (place / each.name).symlink_to(each)
"""


_ATOMIC = """
import functools, threading
from local_bigquery import cli
from local_bigquery.catalog import datasets, tables
from local_bigquery.jobs import runner
lock = threading.RLock()
def alone(function):
    @functools.wraps(function)
    def locked(*arguments, **named):
        with lock:
            return function(*arguments, **named)
    return locked
for module, names in ((runner, ["submit"]), (tables, ["create", "get"]), (datasets, ["create", "get"])):
    for name in names:
        setattr(module, name, alone(getattr(module, name)))
cli.main()
"""
"""The emulator looks for a job, table or dataset and then makes one; BigQuery does both at once, and so does this."""


@contextmanager
def snowflake() -> Iterator[dict[str, str]]:
    """Run the Snowflake emulator; yield the settings of a URL that lead clients to it."""
    port = free_port()
    python = require_tool("snowflake/bin/python")
    with serving([str(python), "-c", _SNOWFLAKE, str(port)], port):
        yield {"host": "127.0.0.1", "port": str(port), "protocol": "http"}


_SNOWFLAKE = """
import sys
import duckdb, fakesnow.server, uvicorn
from fakesnow import info_schema, transforms
from fakesnow.cursor import FakeSnowflakeCursor
from snowflake.connector.errors import ProgrammingError
from sqlglot import exp

server = sys.modules["fakesnow.server"]

def answered(content, _plain=server.JSONResponse, **named):
    # What the connector expects since its version 5.
    data = content.get("data")
    if isinstance(data, dict) and "token" in data:
        data |= {"sessionId": 1, "masterToken": "m", "validityInSeconds": 3600, "masterValidityInSeconds": 14400}
    if isinstance(data, dict) and "stageInfo" in data:
        data["stageInfo"] |= {"region": "none", "isClientSideEncrypted": False}
        data |= {"encryptionMaterial": [], "overwrite": True}
    return _plain(content, **named)

def executed(cursor, *arguments, _execute=FakeSnowflakeCursor.execute, **named):
    # Two writers of one row are an error of DuckDB's where Snowflake lets the second wait.
    try:
        return _execute(cursor, *arguments, **named)
    except (duckdb.ConstraintException, duckdb.TransactionException) as error:
        number, state = (100072, "22000") if "NOT NULL" in str(error) else (625, "57014")
        raise ProgrammingError(msg=str(error), errno=number, sqlstate=state) from error

def parsed(expression, _parsed=transforms.try_parse_json):
    # DuckDB's json() rounds numbers of more than 17 digits.
    if isinstance(expression, exp.ParseJSON):
        return exp.Cast(this=expression.this, to=exp.DataType.build("JSON"))
    return _parsed(expression)

def commented(catalog, schema, table, comment, _sql=info_schema.insert_table_comment_sql):
    # It does not quote the comment of a table.
    return _sql(catalog, schema, table, comment and comment.replace("'", "''"))

server.JSONResponse = answered
FakeSnowflakeCursor.execute = executed
transforms.try_parse_json = parsed
info_schema.insert_table_comment_sql = commented
uvicorn.run(server.app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
"""
"""The emulator, mended where it is not as Snowflake is, or as the connector expects it."""


@dataclass
class Postgres:
    """A PostgreSQL server: `restart` ends it as a crash would and starts it again on the same port."""

    folder: Path
    port: int
    user: str = "sluice"
    password: str = "s'3 cr\\et%41"  # what has to be quoted somewhere, so that every quoting is tested
    _running: ExitStack = field(default_factory=ExitStack, repr=False)

    def start(self) -> None:
        """Start it, and wait until it takes connections: it listens before it has recovered."""
        command = [
            *_unprivileged(),
            require("postgres"),
            "-D",
            str(self.folder / "data"),
            "-p",
            str(self.port),
        ]
        self._running.enter_context(
            serving([*command, "-h", "127.0.0.1", "-k", "", "-c", "max_connections=50"], self.port)
        )

        ready = [require("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        for _ in range(START_TIMEOUT * 20):
            if subprocess.run(ready, check=False).returncode == 0:
                return
            time.sleep(0.05)
        message = f"postgres: did not take connections within {START_TIMEOUT} s"
        raise ServerError(message)

    def stop(self) -> None:
        """End all its processes at once, without a checkpoint, and wait until they are gone."""
        command = [*_unprivileged(), require("pg_ctl"), "-D", str(self.folder / "data"), "-m", "immediate"]
        subprocess.run([*command, "-s", "-w", "stop"], check=True, cwd=self.folder)
        self._running.close()

    def restart(self) -> None:
        """Kill it and start it again: it then recovers from its log what was committed."""
        self.stop()
        self.start()


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Run PostgreSQL with an empty database `postgres`; as nobody if this process is root."""
    with TemporaryDirectory(prefix="postgres") as name:
        server = Postgres(Path(name), free_port())
        _make_cluster(server)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _make_cluster(server: Postgres) -> None:
    folder = server.folder
    password = folder / "password"
    password.write_text(f"{server.password}\n")
    data = folder / "data"
    data.mkdir()
    if os.getuid() == 0:
        folder.chmod(0o711)
        shutil.chown(data, "nobody")
        shutil.chown(password, "nobody")
    command = [*_unprivileged(), require("initdb"), "-D", str(data), "-U", server.user, "-A", "scram-sha-256"]
    subprocess.run(
        [*command, "--pwfile", str(password), "-E", "UTF8", "--locale=C", "--no-sync"],
        check=True,
        cwd=folder,
        stdout=subprocess.DEVNULL,
    )


def _unprivileged() -> list[str]:
    """Return what to put before a command so that it does not run as root: PostgreSQL refuses to."""
    if os.getuid() != 0:
        return []
    return [require("setpriv"), "--reuid=nobody", "--regid=nogroup", "--clear-groups"]


def _request(request: Request) -> None:
    with urlopen(request, timeout=30) as response:
        response.read()
