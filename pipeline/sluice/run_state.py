"""The state of one run: what its source, its steps and its launcher share while it lasts.

Nothing of it is a global: a second run in the same process starts with a state of its own. Beam pickles the steps of a
graph, so they carry a `RunHandle`, which finds the state of its run in the process in which it is unpickled.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from apache_beam.utils.shared import Shared

from sluice.acknowledgements import PendingAcks
from sluice.errors import SluiceError
from sluice.telemetry import RunTotals

_LOGGER = logging.getLogger("sluice")


class Resource(Protocol):
    """Something to close when the run ends, such as a connection."""

    def close(self) -> None:
        """Finish what is on its way, and disconnect."""
        ...


AnyResource = TypeVar("AnyResource", bound=Resource)


class RunResources:
    """What the steps of a run share in one process: each resource is opened once, by the first step that asks."""

    def __init__(self) -> None:
        """Begin with nothing opened."""
        self._lock = threading.Lock()
        self._opened: dict[Hashable, Any] = {}

    def get(self, key: Hashable, open_resource: Callable[[], AnyResource]) -> AnyResource:
        """Return the resource of this key; open it if no step has asked for it before."""
        with self._lock:
            if key not in self._opened:
                self._opened[key] = open_resource()
            resource: AnyResource = self._opened[key]
            return resource

    def close(self) -> None:
        """Close all, the latest first. Steps that ask afterwards open anew."""
        with self._lock:
            while self._opened:
                _, resource = self._opened.popitem()
                resource.close()


class Backlog:
    """How many records wait at their source, unread, as each part of it, such as a partition, was last seen."""

    def __init__(self) -> None:
        """Begin with nothing known."""
        self._lock = threading.Lock()
        self._parts: dict[tuple[str, int], int] = {}

    def set(self, uri: str, part: int, records: int) -> None:
        """Record what waits in one part of the source at `uri`."""
        with self._lock:
            self._parts[uri, part] = records

    def total(self) -> int | None:
        """Return what waits in all parts; None if the source does not report it."""
        with self._lock:
            return sum(self._parts.values()) if self._parts else None


@dataclass(eq=False)
class RunState:
    """What one run has done so far, what is on its way, and whether it is to end."""

    acks: PendingAcks = field(default_factory=PendingAcks)
    totals: RunTotals = field(default_factory=RunTotals)
    backlog: Backlog = field(default_factory=Backlog)
    resources: RunResources = field(default_factory=RunResources)
    draining: threading.Event = field(default_factory=threading.Event)
    """Set when the run is to end: sources finish, everything on its way is stored and acknowledged."""
    over_limit: threading.Event = field(default_factory=threading.Event)
    """Set while more records were rejected than the job allows."""
    failure: SluiceError | None = None
    """Why the run drains although nobody asked for it."""

    def fail(self, error: SluiceError) -> None:
        """Drain the run because of `error`, of which its report then tells; only the first one counts."""
        if self.failure is None:
            self.failure = error
            _LOGGER.error("%s; draining: what was read is stored and acknowledged", error)
        self.draining.set()


class RunHandle:
    """Finds the state of one run, wherever a step that holds the handle is unpickled.

    In the launcher, and in workers that are its threads, that is one object, which the launcher's handle keeps alive.
    In any other process it is an object of that process, which lives as long as a step refers to it.
    """

    def __init__(self) -> None:
        """Begin a run."""
        self._shared = Shared()
        self._state: RunState | None = self._shared.acquire(RunState)

    def __reduce__(self) -> tuple[Callable[[Shared], RunHandle], tuple[Shared]]:
        """Leave the state behind: each process has its own."""
        return _unpickle, (self._shared,)

    @property
    def state(self) -> RunState:
        """The state of the run in this process."""
        if self._state is None:
            self._state = self._shared.acquire(RunState)
        return self._state


def _unpickle(shared: Shared) -> RunHandle:
    handle = RunHandle.__new__(RunHandle)
    handle._shared, handle._state = shared, None
    return handle
