"""The dead letters of a job by their reason, with what became of them: what there is to repair, the most first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from sluice.dead_letters.reading import DeadLetterState, Status, find_minutes, read_states
from sluice.errors import SourceError, quote
from sluice.sources import parse_source
from sluice.sources.dead_letters.source import DeadLetterSource
from sluice.sources.files.connector import GcsFilesConnector, LocalFilesConnector, S3FilesConnector
from sluice.sources.files.line_numbers import line_at


class Reason(NamedTuple):
    """What the dead letters of a group have in common: their first violation, and what it is about."""

    code: str
    event_type: str
    path: str
    expected: str


@dataclass(slots=True)
class Group:
    """Dead letters with one reason; `example` is the identifier of the last of them."""

    statuses: Counter[Status] = field(default_factory=Counter)
    attempts: int = 0
    first: datetime | None = None
    last: datetime | None = None
    example: str = ""

    def add(self, state: DeadLetterState) -> None:
        """Count one more."""
        rejected_at = state.dead_letter.rejected_at
        self.statuses[state.status] += 1
        self.attempts = max(self.attempts, state.attempts)
        self.first = rejected_at if self.first is None else min(self.first, rejected_at)
        if self.last is None or rejected_at >= self.last:
            self.last, self.example = rejected_at, state.dead_letter.letter_id


def group_dead_letters(source: DeadLetterSource, statuses: Collection[Status]) -> dict[Reason, Group]:
    """Return the dead letters of `source` that have one of `statuses`, by reason, the most frequent first.

    Raises:
        SourceError: there is no log of dead letters.
        StorageError: it cannot be read.

    """
    groups: dict[Reason, Group] = {}
    for state in _states(source):
        if state.status in statuses:
            groups.setdefault(_reason(state), Group()).add(state)
    return dict(sorted(groups.items(), key=lambda item: (-item[1].statuses.total(), item[0])))


def find_dead_letter(source: DeadLetterSource, letter_id: str) -> DeadLetterState:
    """Return the dead letter whose identifier is, or alone begins with, `letter_id`.

    Raises:
        SourceError: there is none, or there are several.
        StorageError: the log cannot be read.

    """
    found = [state for state in _states(source) if state.dead_letter.letter_id.startswith(letter_id)]
    if len(found) != 1:
        got = f"{len(found):,}" if found else "none"
        message = f"{source.url}: expected one dead letter whose letter_id begins with {quote(letter_id)}, got {got}"
        raise SourceError(message)
    return found[0]


def line_number(state: DeadLetterState) -> int | None:
    """Return the number of the line in the file that the record of a dead letter came from; None if it is not known."""
    source = state.dead_letter.source
    if source.line is not None or source.offset is None or source.partition is not None:
        return source.line
    if source.message_id is not None or state.dead_letter.step == "load":
        return None
    is_file = isinstance(parse_source(source.uri), LocalFilesConnector | S3FilesConnector | GcsFilesConnector)
    return line_at(source.uri, source.offset) if is_file else None


def _states(source: DeadLetterSource) -> Iterator[DeadLetterState]:
    source.check()
    for minute in find_minutes(source.log):
        yield from read_states(minute, source.log, source.selection)


def _reason(state: DeadLetterState) -> Reason:
    dead_letter = state.dead_letter
    first = next(
        (violation for violation in dead_letter.violations if violation.code == dead_letter.code), None
    )
    return Reason(
        dead_letter.code,
        dead_letter.event_type or "unknown",
        first.path if first is not None else "",
        first.expected if first is not None else "",
    )
