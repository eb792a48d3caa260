"""What became of the records of each source of a run: the figures of its manifest.

A step adds to them once for each batch, never for a record: all records of a batch are of one source.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec
from msgspec import structs

from sluice.provenance import FileProvenance, PartitionProvenance, Provenance, Source

_Value = TypeVar("_Value", int, float, str)


class SourceTally(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What became of the records of one source: `read` = `accepted` + `duplicates` + `rejected`.

    `first` and `last` are the earliest and the latest time of its valid events, in epoch seconds. `size` (bytes as
    stored) and `modified` (epoch seconds) are those of a file, `etag` that of an object. `start` and `end` are offsets
    of a partition: the first that was read, and the one after the last.
    """

    read: int = 0
    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    first: float | None = None
    last: float | None = None
    size: int | None = None
    modified: float | None = None
    start: int | None = None
    end: int | None = None
    etag: str | None = None

    @property
    def balanced(self) -> bool:
        """Whether each record that was read is in one of the other figures."""
        return self.read == self.accepted + self.duplicates + self.rejected


def add_tallies(some: SourceTally, others: SourceTally) -> SourceTally:
    """Return the sum of two tallies of one source. Associative and commutative."""
    return SourceTally(
        some.read + others.read,
        some.accepted + others.accepted,
        some.duplicates + others.duplicates,
        some.rejected + others.rejected,
        _least(some.first, others.first),
        _most(some.last, others.last),
        _most(some.size, others.size),
        _most(some.modified, others.modified),
        _least(some.start, others.start),
        _most(some.end, others.end),
        _most(some.etag, others.etag),
    )


def subtract_tally(tally: SourceTally, written: SourceTally) -> SourceTally:
    """Return what became of the records of a source since its tally was `written`.

    Its offsets begin after those that were read then; its times are still those of all events.
    """
    return structs.replace(
        tally,
        read=tally.read - written.read,
        accepted=tally.accepted - written.accepted,
        duplicates=tally.duplicates - written.duplicates,
        rejected=tally.rejected - written.rejected,
        start=written.end,
    )


def settled_tally(tally: SourceTally) -> SourceTally:
    """Return the tally without the records that were read, and of which nothing is known yet."""
    return structs.replace(tally, read=tally.accepted + tally.duplicates + tally.rejected)


def add_up(tallies: Collection[SourceTally], of_run: tuple[int, ...]) -> bool:
    """Tell whether all tallies are balanced and their sums are the figures of the run; a load has no sources.

    `of_run` are read, accepted, duplicates and rejected.
    """
    figures = [(tally.read, tally.accepted, tally.duplicates, tally.rejected) for tally in tallies]
    sums = tuple(map(sum, zip(*figures, strict=True)))
    return not tallies or (sums == of_run and all(tally.balanced for tally in tallies))


class SourceTallies:
    """Tallies by source, added up in place."""

    def __init__(self) -> None:
        """Begin without sources."""
        self.by_source: dict[Source, SourceTally] = {}

    def add(self, source: Source, tally: SourceTally) -> None:
        """Add what became of some records of `source`."""
        known = self.by_source.get(source)
        self.by_source[source] = tally if known is None else add_tallies(known, tally)

    def update(self, tallies: Mapping[Source, SourceTally]) -> None:
        """Add those of some sources."""
        for source, tally in tallies.items():
            self.add(source, tally)


def tally_read(provenance: Provenance, records: int, span: tuple[int, int] | None) -> SourceTally:
    """Return the tally of `records` that were read; `span` are the offsets that they cover, where that is known."""
    if isinstance(provenance, FileProvenance):
        modified = None if provenance.size is None else provenance.arrival
        return SourceTally(read=records, size=provenance.size, modified=modified, etag=provenance.etag)
    if isinstance(provenance, PartitionProvenance):
        start, end = span or _offsets(provenance.offsets)
        return SourceTally(read=records, start=start, end=end)
    return SourceTally(read=records)


def tally_stored(groups: Iterable[tuple[Source, int]], kept: bytes | None) -> dict[Source, SourceTally]:
    """Return how many lines of each source were stored, and how many are duplicates.

    Args:
        groups: how many lines were appended together, in order, with the source of each group.
        kept: 1 for each of these lines that was stored, and 0 for each other; None if all were.

    """
    tallies, at = SourceTallies(), 0
    for source, lines in groups:
        accepted = lines if kept is None else kept.count(1, at, at + lines)
        at += lines
        tallies.add(source, SourceTally(accepted=accepted, duplicates=lines - accepted))
    return tallies.by_source


def _offsets(offsets: Sequence[int]) -> tuple[int | None, int | None]:
    return (offsets[0], offsets[-1] + 1) if offsets else (None, None)


def _least(some: _Value | None, others: _Value | None) -> _Value | None:
    return others if some is None else some if others is None else min(some, others)


def _most(some: _Value | None, others: _Value | None) -> _Value | None:
    return others if some is None else some if others is None else max(some, others)
