"""When the events of a batch happened, and in which partitions of the log that is; for all of one contract at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any

from sluice.validation.decoder import TIME_FIELD

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EXACT = 2.0**53 / 1e6
"""Epoch seconds up to which a float represents every microsecond: the years 1684 to 2255."""

_event_time, _offset = attrgetter(TIME_FIELD), attrgetter("tzinfo")


def times_and_partitions(events: Sequence[Any], seconds: int) -> tuple[list[float], list[float]]:
    """Return the times of events, in epoch seconds, and the numbers of the partitions of so many `seconds`.

    `events` are structs of a contract with an event time, at least one; a time without an offset is in UTC.
    """
    instants = list(map(_event_time, events))
    if not all(map(_offset, instants)):
        instants = [instant if instant.tzinfo else instant.replace(tzinfo=UTC) for instant in instants]
    times = list(map(datetime.timestamp, instants))
    if -_EXACT < min(times) and max(times) < _EXACT:
        return times, [time // seconds for time in times]
    return times, [
        time // seconds if -_EXACT < time < _EXACT else (instant - _EPOCH) // timedelta(seconds=seconds)
        for time, instant in zip(times, instants, strict=True)
    ]


def lines_by_number(numbers: Sequence[float], lines: Sequence[bytes]) -> dict[float, Sequence[bytes]]:
    """Return the lines by their numbers, each in order."""
    if len(set(numbers)) == 1:  # as those of most batches, whose events are in the order of time
        return {numbers[0]: lines}
    by_number: dict[float, list[bytes]] = defaultdict(list)
    for number, line in zip(numbers, lines, strict=True):
        by_number[number].append(line)
    return {**by_number}
