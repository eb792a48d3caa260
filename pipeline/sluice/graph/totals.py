"""The totals of a run: the parts that the ledger writes, one for each pane, and their sum.

A streaming job writes a part every ten seconds, 8,640 a day. So once an hour the parts that are older are compacted: an
object has the sum of all panes up to then, and each of the latest ones alone, since a runner that recovers may replace
them. Whoever adds up reads the newest of these objects and the parts that came later. Parts are never deleted: if a
pane is replaced that is only in a sum, all parts are read.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from sluice.clock import Clock, system_clock
from sluice.elements import StepCounts, StepCountsSum
from sluice.errors import StorageError
from sluice.provenance import Source
from sluice.source_tallies import SourceTally
from sluice.storage import Store, open_store
from sluice.timeline import WindowEvents

_READERS = 16
"""Parts that are read at once: one takes some 30 ms in Cloud Storage."""

_OPENED, _COUNTED, _COMPACTED = "opened.json", "counted.json", "compacted"
_SUFFIX = ".json"

_HOUR = 3600

_SETTLED_SECONDS = 600
"""How long after the end of an hour its parts are compacted: the clocks of workers differ by less."""

_ALONE = 100
"""Panes that stay alone when parts are compacted: a runner returns to its last checkpoint, minutes ago."""

_NAME_DIGITS = 20
"""Digits of the time with which the names of parts and of compacted totals begin, in nanoseconds."""


class _Part(msgspec.Struct, array_like=True):
    """What one pane adds to the totals."""

    flat: list[tuple[str, str, int]]
    first: float | None
    last: float | None
    pane: int | None
    sources: list[tuple[str, int | None, SourceTally]] = []
    windows: list[WindowEvents] = []
    latest: list[WindowEvents] = []

    def step_counts(self) -> StepCounts:
        counts = {(figure, name): number for figure, name, number in self.flat}
        sources = {Source(uri, partition): tally for uri, partition, tally in self.sources}
        return StepCounts(counts, self.first, self.last, self.windows, sources, self.latest)


class _Compacted(msgspec.Struct, array_like=True):
    """The totals of all parts that were written before `until`."""

    until: int
    """In nanoseconds of the epoch."""
    written: float | None
    """When the last of these parts was written, in epoch seconds."""
    first: int | None
    """Number of the pane that was written first."""
    lowest: int | None
    """Lowest number of a pane that was ever written."""
    highest: int | None
    """Highest number of the panes in `settled`."""
    unnumbered: _Part
    """Sum of the parts without a number."""
    settled: _Part
    """Sum of the panes that are not in `panes`."""
    panes: list[_Part]
    """The other panes, in the order of writing."""


class _ReplacedError(Exception):
    """A pane may be replaced that is only in a sum."""


class _UnreadableError(Exception):
    """Compacted totals are damaged, or of another version of Sluice; the parts have all that they have."""


class _Totals:
    """What counts of the parts that were added so far.

    A runner that recovers goes back to a checkpoint and counts on from there: a pane that is written again replaces the
    earlier one and all with a higher number that were written before. A pane that is written late for the first time
    does not: Prism writes panes that are ready at the same time in any order.
    """

    def __init__(self) -> None:
        self._written: float | None = None
        self._first: int | None = None
        self._lowest: int | None = None
        self._highest: int | None = None
        self._unnumbered = StepCountsSum()
        self._settled = StepCountsSum()
        self._panes: dict[int, _Part] = {}

    @property
    def written(self) -> float | None:
        """When the last part was written, in epoch seconds."""
        return self._written

    def add(self, part: _Part, written: float | None = None) -> None:
        """Add the part that was written next.

        Raises:
            _ReplacedError: its pane may be one that is only in the sum of settled ones.

        """
        self._written = written or self._written
        if part.pane is None:
            self._unnumbered.add(part.step_counts())
            return
        if self._highest is not None and part.pane <= self._highest:
            raise _ReplacedError
        self._first = part.pane if self._first is None else self._first
        self._lowest = part.pane if self._lowest is None else min(part.pane, self._lowest)
        if part.pane in self._panes:
            self._drop(part.pane)
        self._panes[part.pane] = part

    def join(self, compacted: _Compacted) -> None:
        """Add what another folder, or this one before, has compacted.

        Raises:
            _ReplacedError: it may replace panes in another way than its parts would, one after the other.
            _UnreadableError: one of its panes has no number.

        """
        lowest = compacted.lowest
        if lowest is not None:
            # Its first pane replaces its namesake and all higher ones; the others have nothing more to replace.
            if self._lowest is not None and compacted.first != lowest:
                raise _ReplacedError
            if lowest in self._panes:
                self._drop(lowest)
            settled = self._highest is not None and lowest <= self._highest
            if settled or any(number > lowest for number in self._panes):
                raise _ReplacedError
            if compacted.highest is not None:
                self._settle(list(self._panes))
                self._settled.add(compacted.settled.step_counts())
                self._highest = compacted.highest
            self._first = compacted.first if self._first is None else self._first
            self._lowest = lowest if self._lowest is None else min(lowest, self._lowest)
        self._unnumbered.add(compacted.unnumbered.step_counts())
        for part in compacted.panes:
            self._panes[_number(part)] = part
        self._written = compacted.written or self._written

    def compacted(self, until: int) -> _Compacted:
        """Return what is stored of all this; the panes before the latest ones are settled by it."""
        self._settle(sorted(self._panes)[:-_ALONE])
        return _Compacted(
            until,
            self._written,
            self._first,
            self._lowest,
            self._highest,
            _part(self._unnumbered.total(), None),
            _part(self._settled.total(), None),
            list(self._panes.values()),
        )

    def sum(self) -> StepCounts:
        """Return the sum of what counts."""
        total = StepCountsSum()
        total.add(self._unnumbered.total())
        total.add(self._settled.total())
        for part in self._panes.values():
            total.add(part.step_counts())
        return total.total()

    def _drop(self, lowest: int) -> None:
        self._panes = {number: part for number, part in self._panes.items() if number < lowest}

    def _settle(self, numbers: list[int]) -> None:
        for number in numbers:
            self._settled.add(self._panes.pop(number).step_counts())
            self._highest = number if self._highest is None else max(number, self._highest)


def _number(part: _Part) -> int:
    if part.pane is None:
        raise _UnreadableError
    return part.pane


def _part(total: StepCounts, pane: int | None) -> _Part:
    return _Part(
        [(figure, name, number) for (figure, name), number in total.counts.items()],
        total.first,
        total.last,
        pane,
        [(*source, tally) for source, tally in total.sources.items()],
        list(total.windows),
        list(total.latest),
    )


def _encode(total: StepCounts, pane: int | None) -> bytes:
    """Return a part as it is stored; what is empty at its end is left out, as in earlier versions."""
    part = msgspec.structs.astuple(_part(total, pane))
    used = len(part) if total.windows else len(part) - 2 if total.sources else len(part) - 3
    return msgspec.json.encode(part[:used])


def open_totals(url: str) -> None:
    """Mark the folder of a run's totals, so that `check_totals` can tell it from one that was deleted meanwhile."""
    open_store(url).create(_OPENED, b"{}\n")


def check_totals(url: str) -> None:
    """Check that the folder of the totals is the one that `open_totals` has marked.

    Raises:
        StorageError: it was deleted while the run lasted, and the totals of finished work may be gone with it.

    """
    store = open_store(url)
    if _OPENED not in store.list(""):
        message = (
            f"{store.url('')}: expected the totals of this run, got none: the folder was deleted while the run "
            "lasted; what was stored stays valid: run again"
        )
        raise StorageError(message)


def write_counted(total: StepCounts, url: str) -> None:
    """Write what the steps of a run counted in the launcher's process beside the parts of the ledger."""
    open_store(url).create(_COUNTED, _encode(total, None))


def write_totals(total: StepCounts, url: str, pane: int | None = None, clock: Clock = system_clock) -> None:
    """Store a part of a run's totals where the launcher looks for it; `pane` is its number, if the runner gives one.

    The file name begins with the time. A pane is written by one worker at a time, so names are in the order of
    writing, as long as the clocks of two workers differ by less than it takes the runner to replace one by the other.
    """
    open_store(url).create(f"{_name(int(clock() * 1e9))}-{uuid.uuid4().hex}{_SUFFIX}", _encode(total, pane))


def next_compaction(now: float) -> float:
    """Return when parts can be compacted again after `now`, in epoch seconds."""
    return _settled_hour(now) + _HOUR + _SETTLED_SECONDS


def compact_totals(url: str, now: float) -> None:
    """Store the totals of all parts that were written in hours that have ended, if that has not been done.

    Workers may do so at the same time: the parts of these hours do not change, so both would store the same.

    Raises:
        StorageError: parts cannot be listed or read, or the totals cannot be stored.

    """
    until = _settled_hour(now) * 10**9
    store = open_store(url)
    before = _newest(store).removesuffix(_SUFFIX)
    if before < _name(until) and _part_names(store, before, _name(until)):
        totals = _add_up([store], _name(until)).compacted(until)
        store.create(f"{_COMPACTED}/{_name(until)}{_SUFFIX}", msgspec.json.encode(totals))


def read_totals(url: str) -> StepCounts:
    """Return the sum of all that `write_totals` stored and that still counts.

    Raises:
        StorageError: a part cannot be read.

    """
    return read_folders(url)[0]


def read_folders(*urls: str) -> tuple[StepCounts, float | None]:
    """Return the sum of what several folders have as one run, the first one first, and when the last part was written.

    Raises:
        StorageError: a part cannot be read.

    """
    totals = _add_up([open_store(url) for url in urls])
    return totals.sum(), totals.written


def _add_up(stores: Sequence[Store], until: str | None = None) -> _Totals:
    """Return the totals of all parts, or of those with names before `until`."""
    try:
        return _add_folders(stores, until, compacted=True)
    except (_ReplacedError, _UnreadableError):
        return _add_folders(stores, until, compacted=False)


def _add_folders(stores: Sequence[Store], until: str | None, *, compacted: bool) -> _Totals:
    totals = _Totals()
    for store in stores:
        after = ""
        if compacted and (newest := _newest(store)):
            known = _read_compacted(store, newest)
            totals.join(known)
            after = _name(known.until)
        for written, part in _read_parts(store, after, until):
            totals.add(part, written)
    return totals


def _newest(store: Store) -> str:
    """Return the name of the newest compacted totals; '' if there are none."""
    return max(store.list(_COMPACTED), default="")


def _read_compacted(store: Store, name: str) -> _Compacted:
    try:
        return msgspec.json.decode(store.read(f"{_COMPACTED}/{name}"), type=_Compacted)
    except (msgspec.DecodeError, ValueError) as error:
        raise _UnreadableError from error


def _read_parts(store: Store, after: str, until: str | None) -> Iterator[tuple[float, _Part]]:
    """Yield when each part was written, in epoch seconds, and the part; in the order of writing."""
    paths = _part_names(store, after, until)
    with ThreadPoolExecutor(_READERS) as readers:
        for path, content in zip(paths, readers.map(store.read, paths), strict=True):
            yield int(path[:_NAME_DIGITS]) / 1e9, _decode_part(store.url(path), content)


def _decode_part(url: str, content: bytes) -> _Part:
    try:
        return msgspec.json.decode(content, type=_Part)
    except (msgspec.DecodeError, ValueError) as error:
        message = (
            f"{url}: expected a part of the totals of a run, got {error}; the file was changed: restore it"
        )
        raise StorageError(message) from error


def _part_names(store: Store, after: str, until: str | None) -> list[str]:
    """Return the names of parts between two times, in the order of writing."""
    names = (path for path in store.walk(after=after) if path[:_NAME_DIGITS].isdigit())
    return sorted(name for name in names if until is None or name < until)


def _settled_hour(now: float) -> int:
    return int(now - _SETTLED_SECONDS) // _HOUR * _HOUR


def _name(nanoseconds: int) -> str:
    return f"{nanoseconds:0{_NAME_DIGITS}d}"
