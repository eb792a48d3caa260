"""A TCP proxy in front of a real server, which cuts, resets or delays connections at stages that its user chooses."""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Stage = Callable[[bytes, int], bool]
"""Bytes that the client is about to send, and how many it sent before on this connection -> whether to act now."""

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER on, zero seconds: closing then sends RST instead of FIN."""
_POLL_SECONDS = 0.05
_BLOCK_BYTES = 1 << 16
_ANSWER_SECONDS = 1.0


def containing(marker: bytes) -> Stage:
    """Act when a client sends `marker`, such as the SQL of a statement."""
    return lambda data, _: marker in data


def after_bytes(number: int) -> Stage:
    """Act when a client has sent more than so many bytes on one connection."""
    return lambda data, before: before + len(data) > number


@dataclass
class Fault:
    """What happens at a stage, `times` times in all, then never again.

    `kind`: `cut` closes both sides before the bytes are passed on; `cut_after` passes them on, and closes before the
    answer is passed back; `reset` is `cut` with RST; `delay` waits `seconds` before they are passed on. `count` is how
    often it has happened.
    """

    stage: Stage
    kind: str
    times: int = 1
    seconds: float = 0.0
    count: int = 0


@dataclass
class TcpProxy:
    """Listens on `port` and passes everything to `target`, except for the faults that are set."""

    target: int
    port: int = 0
    faults: list[Fault] = field(default_factory=list)
    refuse: bool = False
    _open: set[socket.socket] = field(default_factory=set, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def disconnect(self) -> None:
        """Close all connections that are open now."""
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def fault(self, data: bytes, before: int) -> Fault | None:
        """Return the fault that is due now, and count it."""
        with self._lock:
            for fault in self.faults:
                if fault.count < fault.times and fault.stage(data, before):
                    fault.count += 1
                    return fault
        return None

    def serve(self, listener: socket.socket, ended: threading.Event) -> None:
        """Accept connections until `ended` is set."""
        while not ended.is_set():
            if not select.select([listener], [], [], _POLL_SECONDS)[0]:
                continue
            client, _ = listener.accept()
            if self.refuse:
                _close(client, reset=True)
                continue
            threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self.target))
        except OSError:
            _close(client, reset=True)
            return
        with self._lock:
            self._open |= {client, server}
        reset = False
        try:
            reset = self._until_closed(client, server)
        except OSError:
            pass  # one side has closed
        finally:
            with self._lock:
                self._open -= {client, server}
            _close(client, reset)
            _close(server, reset)

    def _until_closed(self, client: socket.socket, server: socket.socket) -> bool:
        """Return whether to close with a reset."""
        sent = 0
        while True:
            for ready in select.select([client, server], [], [])[0]:
                data = ready.recv(_BLOCK_BYTES)
                if not data:
                    return False
                if ready is server:
                    client.sendall(data)
                    continue
                fault = self.fault(data, sent)
                sent += len(data)
                if fault is not None and fault.kind in ("cut", "reset"):
                    return fault.kind == "reset"
                if fault is not None and fault.kind == "delay":
                    time.sleep(fault.seconds)
                server.sendall(data)
                if fault is not None and fault.kind == "cut_after":
                    # Once the server answers, it has done what was asked. In the middle of rows it does not answer.
                    select.select([server], [], [], _ANSWER_SECONDS)
                    return False


def _close(connection: socket.socket, reset: bool) -> None:
    with suppress(OSError):
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        connection.close()


@contextmanager
def start(target: int) -> Iterator[TcpProxy]:
    """Run a proxy in front of the loopback port `target`, on a port of its own, until the block ends."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = TcpProxy(target, listener.getsockname()[1])
        thread = threading.Thread(target=proxy.serve, args=(listener, ended))
        thread.start()
        try:
            yield proxy
        finally:
            ended.set()
            thread.join()
            proxy.disconnect()
