"""The state of one run: what its source, its steps and its launcher share while it lasts.

Nothing of it is a global: a second run in the same process starts with a state of its own. Beam pickles the steps of a
graph, so they carry a `RunHandle`, which finds the state of its run in the process in which it is unpickled.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from apache_beam.utils.shared import Shared

from sluice.acknowledgements import PendingAcks
from sluice.errors import SluiceError, WorkerError
from sluice.telemetry import RunTotals, StepTotals

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
        self._closed = False
        self._opened: dict[Hashable, Any] = {}

    def get(self, key: Hashable, open_resource: Callable[[], AnyResource]) -> AnyResource:
        """Return the resource of this key; open it if no step has asked for it before.

        Raises:
            WorkerError: all are closed: the step belongs to a graph that has ended.

        """
        with self._lock:
            if self._closed:
                message = "the graph of this step has ended"
                raise WorkerError(message)
            if key not in self._opened:
                self._opened[key] = open_resource()
            resource: AnyResource = self._opened[key]
            return resource

    def close(self) -> None:
        """Close all, the latest first."""
        with self._lock:
            self._closed = True
            while self._opened:
                _, resource = self._opened.popitem()
                resource.close()


SILENT_SECONDS = 60.0
"""After which a source that does not answer is reported; an idle one answers every 30 seconds or sooner."""


class Backlog:
    """How many records wait at their source, unread, as each part of it, such as a partition, was last seen."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Begin with nothing known. `monotonic` returns seconds; it measures how old the source's answers are."""
        self._lock = threading.Lock()
        self._monotonic = monotonic
        self._parts: dict[tuple[str, int], int] = {}
        self._begun = monotonic()
        self._answers: dict[tuple[str, int], float] = {}

    def answered(self, uri: str, part: int = 0) -> None:
        """Record that one part of the source at `uri` has just answered, whether or not it had records."""
        self._answers[uri, part] = self._monotonic()

    def silent(self) -> float:
        """Return for how many seconds a part of the source has not answered; before its first answer: the run."""
        with self._lock:
            last = min(self._answers.copy().values(), default=self._begun)
            return self._monotonic() - last

    def has_answered(self) -> bool:
        """Return whether the source has answered in this run."""
        return bool(self._answers)

    def set(self, uri: str, part: int, records: int) -> None:
        """Record what waits in one part of the source at `uri`."""
        with self._lock:
            self._parts[uri, part] = records

    def total(self) -> int | None:
        """Return what waits in all parts; None if the source does not report it, or has not for SILENT_SECONDS."""
        if self.silent() > SILENT_SECONDS:
            return None
        with self._lock:
            return sum(self._parts.values()) if self._parts else None


class LostRecords:
    """How many records each part of a source, such as a partition, has deleted before they were read."""

    def __init__(self) -> None:
        """Begin with none."""
        self._lock = threading.Lock()
        self._numbers: dict[tuple[str, int], int] = {}
        self._ends: dict[tuple[str, int], int] = {}

    def add(self, uri: str, part: int, first: int, end: int) -> None:
        """Add the offsets from `first` to the one before `end`; those that were added before do not count again."""
        where = uri, part
        with self._lock:
            new = end - max(first, self._ends.get(where, first))
            if new > 0:
                self._numbers[where] = self._numbers.get(where, 0) + new
                self._ends[where] = end

    def numbers(self) -> dict[tuple[str, int], int]:
        """Return (address of the source, part) -> records, in order."""
        with self._lock:
            return dict(sorted(self._numbers.items()))


class Activity:
    """When steps of a run last worked in this process: a runner asks the source for records again and again."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Begin as if a step had just worked; `monotonic` returns seconds."""
        self._lock = threading.Lock()
        self._monotonic = monotonic
        self._working = 0
        self._storing = 0
        self._worked = monotonic()
        self.began = False
        """A step has worked."""

    @contextmanager
    def at_work(self, *, stores: bool = False) -> Iterator[None]:
        """Have a step work while the block lasts; one that `stores` may wait long for a store or a warehouse."""
        with self._lock:
            self._working += 1
            self._storing += stores
            self.began = True
        try:
            yield
        finally:
            with self._lock:
                self._working -= 1
                self._storing -= stores
                self._worked = self._monotonic()

    def is_storing(self) -> bool:
        """Return whether a step that stores works now."""
        with self._lock:
            return self._storing > 0

    def idle(self) -> float:
        """Return for how many seconds no step has worked."""
        with self._lock:
            return 0.0 if self._working else self._monotonic() - self._worked

    def excuse(self) -> None:
        """Begin to count again: this process itself was stopped."""
        with self._lock:
            self._worked = self._monotonic()


_LOCKS = 64


class NewSegments:
    """The segments that a run has created, by id, until their events are counted as loaded.

    A segment may be offered to the warehouse several times: with the events that it was made of, and with each
    duplicate of them that comes before it is loaded. Its events are counted once all the same, and as those of this
    run, not as those of an earlier one.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._lock = threading.Lock()
        self._ids: set[str] = set()
        self._appending = [threading.Lock() for _ in range(_LOCKS)]

    @contextmanager
    def appending(self, log_key: Hashable) -> Iterator[None]:
        """Have other appends to the same folder wait: what they find there was added here before."""
        with self._appending[hash(log_key) % _LOCKS]:
            yield

    def add(self, segment_id: str) -> None:
        """Add a segment that was created; within the context of its append."""
        with self._lock:
            self._ids.add(segment_id)

    def __contains__(self, segment_id: str) -> bool:
        """Return whether this run has created the segment, and its events are not counted yet."""
        with self._lock:
            return segment_id in self._ids

    def count(self, segment_id: str) -> bool:
        """Return whether the events of the segment are to be counted as loaded now: only the first time."""
        with self._lock:
            counts = segment_id in self._ids
            self._ids.discard(segment_id)
            return counts


@dataclass(eq=False)
class RunState:
    """What one run has done so far, what is on its way, and whether it is to end."""

    acks: PendingAcks = field(default_factory=PendingAcks)
    totals: RunTotals = field(default_factory=RunTotals)
    backlog: Backlog = field(default_factory=Backlog)
    lost: LostRecords = field(default_factory=LostRecords)
    counted: StepTotals = field(default_factory=StepTotals)
    """What the steps counted, which the report of a run within one process is made of."""
    new_segments: NewSegments = field(default_factory=NewSegments)
    resources: RunResources = field(default_factory=RunResources)
    draining: threading.Event = field(default_factory=threading.Event)
    """Set when the run is to end: sources finish, everything on its way is stored and acknowledged."""
    over_limit: threading.Event = field(default_factory=threading.Event)
    """Set while more records were rejected than the job allows."""
    failures: list[SluiceError] = field(default_factory=list)
    """Why the run drains although nobody asked for it."""
    activity: Activity = field(default_factory=Activity)
    positions: dict[tuple[str, int], int] = field(default_factory=dict)
    """Where the next graph of the run continues to read: part of a source -> offset below which all is stored."""
    identities: dict[str, str] = field(default_factory=dict)
    """Source -> the id that it had when the run began to read it, such as that of a topic."""
    restarts: int = 0
    """How often the runner was started again."""

    @property
    def failure(self) -> SluiceError | None:
        """The first reason to drain the run although nobody asked for it."""
        return self.failures[0] if self.failures else None

    def fail(self, error: SluiceError) -> None:
        """Drain the run because of `error`, of which its report then tells; only the first one counts."""
        self.failures.append(error)
        if self.failure is error:
            _LOGGER.error("%s; draining: what was read is stored and acknowledged", error)
        self.draining.set()

    def next_graph(self) -> RunState:
        """Return the state of the run's next graph; steps of an earlier one that still work have their own.

        What only the run as a whole has, such as its totals, both share. The acks of this state are the new ones.
        """
        state = replace(
            self, acks=PendingAcks(), counted=StepTotals(), resources=RunResources(), activity=Activity()
        )
        self.acks, self.activity = state.acks, state.activity
        return state


class RunHandle:
    """Finds the state of one run, wherever a step that holds the handle is unpickled.

    In the launcher, and in workers that are its threads, that is one object, which the launcher's handle keeps alive.
    In any other process it is an object of that process, which lives as long as a step refers to it.
    """

    def __init__(self, state: RunState | None = None) -> None:
        """Begin a run, or one of its graphs, which has a state."""
        self._shared = Shared()
        self._state: RunState | None = self._shared.acquire(RunState if state is None else lambda: state)

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
