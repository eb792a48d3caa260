"""Findings and channels that the suites of alerts share."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from sluice.errors import ChannelError
from sluice.tooling.alerts.channels import Channel
from sluice.tooling.alerts.delivery import Scope
from sluice.tooling.alerts.message import Message
from sluice.tooling.monitors.finding import Finding

NOW = 1_795_939_200.0
"""2026-11-29 08:00:00 UTC."""

SCOPE = Scope("commerce", {"daily_revenue"})

HOSTILE = (
    "<script>alert(1)</script> *bold* <!channel> <@U1> & \u202egnp.exe\r\nBcc: eve@example.com\r\n\r\nbody"
)
"""What data may put into a finding to break out of a message."""

HOSTILE_SHOWN = (
    r"<script>alert(1)</script> *bold* <!channel> <@U1> & \u202egnp.exe\r\nBcc: eve@example.com\r\n\r\nbody"
)

REVENUE = Finding(
    monitor="commerce",
    check="daily_revenue",
    metric="revenue",
    day=date(2026, 11, 28),
    kind="high",
    observed=12345.6,
    expected=8700,
    low=8000,
    high=9500,
    severity=5.5,
    explanation="Revenue of 2026-11-28 was higher than usual.",
    where="reporting.daily_sales",
    command="sluice audit jobs/commerce_sales.yaml --day 2026-11-28",
)


def finding(**changes: Any) -> Finding:
    """Return a finding of the revenue with some fields changed."""
    return replace(REVENUE, **changes)


@dataclass(frozen=True, kw_only=True)
class ListChannel(Channel):
    """A channel that keeps messages, or fails with each of `failures` first."""

    variable = "LIST"

    messages: list[Message] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    remark: str = ""

    def send(self, message: Message, seconds: float) -> str:
        """Keep the message."""
        del seconds
        if self.failures:
            raise self.failures.pop(0)
        self.messages.append(message)
        return self.remark

    def subjects(self) -> list[str]:
        """Return the subjects of all messages, without the part that all have."""
        return [message.subject.removeprefix("[sluice] commerce: ") for message in self.messages]


def failing(name: str, *reasons: str) -> ListChannel:
    """Return a channel that fails once with each of the reasons."""
    return ListChannel(name=name, failures=[ChannelError(reason) for reason in reasons])


@contextmanager
def silent_server(greeting: bytes = b"") -> Iterator[int]:
    """Accept connections at the port that is yielded, send a greeting byte by byte for ever, and nothing else."""
    ended = threading.Event()
    connections: list[socket.socket] = []

    def serve() -> None:
        while not ended.is_set():
            with suppress(TimeoutError):
                connections.append(listener.accept()[0])
            for connection in connections if greeting else []:
                with suppress(OSError):
                    connection.sendall(greeting)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            ended.set()
            thread.join()
            for connection in connections:
                connection.close()
