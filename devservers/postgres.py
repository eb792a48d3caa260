"""PostgreSQL, a real server."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

from devservers.ports import free_port
from devservers.process import ServerProcess
from devservers.tools import require_program
from devservers.waiting import wait_until

USER = "sluice"
PASSWORD = "s'3 cr\\et%41"
"""It holds what has to be quoted somewhere, so that every quoting is tested."""


@dataclass
class PostgresServer:
    """A server with an empty database `postgres`; its data are in `folder`."""

    folder: Path
    port: int
    user: str = USER
    password: str = field(default=PASSWORD, repr=False)
    _process: ServerProcess | None = field(default=None, repr=False)

    def url_at(self, port: int) -> str:
        """Return the URL of the database through another port, such as that of a proxy."""
        return f"postgresql://{self.user}:{quote(self.password, safe='')}@127.0.0.1:{port}/postgres"

    @property
    def url(self) -> str:
        """The URL of the database."""
        return self.url_at(self.port)

    def start(self) -> None:
        """Start it, and wait until it takes connections: it listens before it has recovered."""
        options = ["-D", str(self._data), "-p", str(self.port), "-h", "127.0.0.1", "-k", ""]
        command = [*_unprivileged(), require_program("postgres"), *options, "-c", "max_connections=50"]
        self._process = ServerProcess(command, self.port)
        self._process.start()
        ready = [require_program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        wait_until(
            lambda: subprocess.run(ready, check=False).returncode == 0,
            "postgres takes connections",
            interval=0.05,
        )

    def stop(self) -> None:
        """End all its processes at once, without a checkpoint, and wait until they have ended."""
        command = [*_unprivileged(), require_program("pg_ctl"), "-D", str(self._data), "-m", "immediate"]
        subprocess.run([*command, "-s", "-w", "stop"], check=True, cwd=self.folder)
        if self._process is not None:
            self._process.kill()

    def restart(self) -> None:
        """Stop it as a crash would, and start it again on its port: it recovers what was committed."""
        self.stop()
        self.start()

    def initialize(self) -> None:
        """Create an empty database cluster."""
        password = self.folder / "password"
        password.write_text(f"{self.password}\n")
        self._data.mkdir()
        if os.getuid() == 0:
            self.folder.chmod(0o711)
            shutil.chown(self._data, "nobody")
            shutil.chown(password, "nobody")
        options = ["-D", str(self._data), "-U", self.user, "-A", "scram-sha-256", "--pwfile", str(password)]
        subprocess.run(
            [
                *(*_unprivileged(), require_program("initdb"), *options),
                *("-E", "UTF8", "--locale=C", "--no-sync"),
            ],
            check=True,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
        )

    @property
    def _data(self) -> Path:
        return self.folder / "data"


def _unprivileged() -> list[str]:
    """Return what to put before a command so that it does not run as root: PostgreSQL refuses to."""
    if os.getuid() != 0:
        return []
    return [require_program("setpriv"), "--reuid=nobody", "--regid=nogroup", "--clear-groups"]


@contextmanager
def start() -> Iterator[PostgresServer]:
    """Run PostgreSQL with an empty database `postgres`; as the user `nobody` if this process is root."""
    require_program("postgres")
    with TemporaryDirectory(prefix="postgres") as name:
        server = PostgresServer(Path(name), free_port())
        server.initialize()
        server.start()
        try:
            yield server
        finally:
            server.stop()
