"""Read dead letters back: which of a minute are still open, and the batches of records to redeliver.

Not open are dead letters that a redelivery entry reports as accepted; conflicting duplicates, since the event log has
another event with their key; and dead letters in which a masked value itself broke its contract, since the raw value
was not stored and nobody can tell whether it would keep the contract now.

Rows that the warehouse rejected are no records: their events are in the event log already, as the lines that their dead
letters hold. They are loaded from there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import msgspec

from sluice.dead_letters.envelope import DeadLetter, RedeliveryEntry, StoredDialect
from sluice.dead_letters.log import DeadLetterLog
from sluice.dead_letters.selection import Selection
from sluice.elements import DEAD_LETTER, REDELIVERY, RecordBatch
from sluice.errors import StorageError
from sluice.eventlog.log import EventLog
from sluice.eventlog.paths import minute_prefix, parse_segment_path, segment_number
from sluice.provenance import CsvDialect, Origin, RedeliveryOrigin, RedeliveryProvenance
from sluice.validation.masking import MASKED_VALUE

BATCH_BYTES = 512 << 10
"""A batch ends with the record that brings it to this size, as batches of files do."""

_decode_dead_letter = msgspec.json.Decoder(DeadLetter).decode
_decode_entry = msgspec.json.Decoder(RedeliveryEntry).decode


Status = Literal["open", "redelivered", "resolved"]
"""Never redelivered; redelivered, and rejected again; redelivered, and accepted."""


class MinuteSegments(NamedTuple):
    """The segments of one minute (epoch seconds) that hold dead letters, and those of the quarantine."""

    minute: int
    paths: tuple[str, ...]
    quarantined: tuple[str, ...]


class OpenDeadLetter(NamedTuple):
    """A dead letter that can be redelivered; `attempt` would be the number of that delivery."""

    dead_letter: DeadLetter
    attempt: int
    quarantined: bool


@dataclass(slots=True)
class SelectedDeadLetters:
    """The dead letters of a selection in one minute: those that are open, and how many are not, by reason."""

    open: list[OpenDeadLetter] = field(default_factory=list)
    rows: list[OpenDeadLetter] = field(default_factory=list)
    """Those whose rows the warehouse rejected; their `source` is a line of the event log."""
    accepted_before: int = 0
    """A redelivery entry reports them as accepted."""
    conflicting: int = 0
    """The event log has their key with other content."""
    undecidable: int = 0
    """A masked value broke its contract."""


def find_minutes(log: DeadLetterLog) -> list[MinuteSegments]:
    """Return the minutes that have dead letters, in order."""
    minutes: dict[int, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for place, event_log in enumerate((log, log.quarantine)):
        for path in event_log.store.walk():
            name = parse_segment_path(path)
            if name is not None and (name.folder, name.name) == ("", DEAD_LETTER):
                minutes[name.minute][place].append(event_log.store.url(path))
    return [
        MinuteSegments(minute, tuple(paths), tuple(quarantined))
        for minute, (paths, quarantined) in sorted(minutes.items())
    ]


def read_minute(segments: MinuteSegments, log: DeadLetterLog, selection: Selection) -> SelectedDeadLetters:
    """Return the dead letters of `selection` in one minute.

    Raises:
        StorageError: a segment cannot be read, or has a line that is neither a dead letter nor a redelivery entry.

    """
    selected = SelectedDeadLetters()
    for state, quarantined in _states(segments, log, selection):
        dead_letter = state.dead_letter
        of_row = dead_letter.step == "load"
        if dead_letter.step == "append":
            selected.conflicting += 1
        elif state.status == "resolved":
            selected.accepted_before += 1
        elif not of_row and any(reason.got == MASKED_VALUE for reason in dead_letter.violations):
            selected.undecidable += 1
        else:
            opened = OpenDeadLetter(dead_letter, state.attempts + 1, quarantined)
            (selected.rows if of_row else selected.open).append(opened)
    return selected


class DeadLetterState(NamedTuple):
    """A dead letter, and the redelivery entries of it, the last attempt last."""

    dead_letter: DeadLetter
    entries: tuple[RedeliveryEntry, ...]

    @property
    def status(self) -> Status:
        """Whether its record was accepted since, was rejected again, or was never redelivered."""
        if any(entry.outcome == "accepted" for entry in self.entries):
            return "resolved"
        return "redelivered" if self.entries else "open"

    @property
    def attempts(self) -> int:
        """How often its record was delivered, the first time included."""
        return max((self.dead_letter.attempts, *(entry.attempt for entry in self.entries)))


def read_states(
    segments: MinuteSegments, log: DeadLetterLog, selection: Selection
) -> Iterator[DeadLetterState]:
    """Yield the dead letters of `selection` in one minute, with what became of them.

    Raises:
        StorageError: as `read_minute`.

    """
    for state, _ in _states(segments, log, selection):
        yield state


def _states(
    segments: MinuteSegments, log: DeadLetterLog, selection: Selection
) -> Iterator[tuple[DeadLetterState, bool]]:
    """Yield the dead letters of `selection` in one minute, and whether each is in the quarantine."""
    entries: dict[str, list[RedeliveryEntry]] = defaultdict(list)
    for entry in _decoded(_decode_entry, log, _entry_segments(log, segments.minute)):
        entries[entry.letter_id].append(entry)
    for dead_letter, quarantined in _dead_letters(segments, log):
        if dead_letter in selection:
            own = sorted(entries[dead_letter.letter_id], key=lambda entry: entry.attempt)
            yield DeadLetterState(dead_letter, tuple(own)), quarantined


def _dead_letters(segments: MinuteSegments, log: DeadLetterLog) -> Iterator[tuple[DeadLetter, bool]]:
    """Yield each dead letter of a minute, and whether it is in the quarantine."""
    for dead_letter in _decoded(_decode_dead_letter, log, segments.paths):
        yield dead_letter, False
    for dead_letter in _decoded(_decode_dead_letter, log.quarantine, segments.quarantined):
        yield dead_letter, True


def _entry_segments(log: EventLog, minute: int) -> Iterator[str]:
    folder, stem = minute_prefix(REDELIVERY, minute, REDELIVERY)
    for name in log.store.list(folder):
        if segment_number(stem, name):
            yield log.store.url(f"{folder}/{name}")


def _decoded(decode: Callable[[bytes], Any], log: EventLog, paths: Iterable[str]) -> Iterator[Any]:
    for path in paths:
        for number, line in enumerate(log.read(path).lines, 1):
            try:
                yield decode(line)
            except msgspec.DecodeError as error:
                expected = "expected a dead letter or a redelivery entry"
                message = f"{path}: line {number}: {expected}, got {error}; restore it"
                raise StorageError(message) from error


class _BatchKey(NamedTuple):
    """What the dead letters of a batch have in common."""

    run_started: float | None
    dialect: StoredDialect | None
    masked: frozenset[str]


def read_batches(segments: MinuteSegments, log: DeadLetterLog, selection: Selection) -> Iterator[RecordBatch]:
    """Yield the records of the open dead letters of one minute, each with its first origin and arrival.

    The records of a batch were rejected by runs of the same kind, have the same CSV dialect, if any, and have values
    masked at the same paths. Raises StorageError as `read_minute` does.
    """
    by_key: dict[_BatchKey, list[OpenDeadLetter]] = defaultdict(list)
    for opened in read_minute(segments, log, selection).open:
        dead_letter = opened.dead_letter
        key = _BatchKey(_run_started(dead_letter), dead_letter.layout, frozenset(dead_letter.protected or ()))
        by_key[key].append(opened)
    for key, members in by_key.items():
        batch: list[OpenDeadLetter] = []
        size = 0
        for opened in members:
            batch.append(opened)
            size += len(opened.dead_letter.record)
            if size >= BATCH_BYTES:
                yield _batch(batch, key)
                batch, size = [], 0
        if batch:
            yield _batch(batch, key)


def read_rows(
    segments: MinuteSegments, log: DeadLetterLog, selection: Selection
) -> Iterator[tuple[tuple[str, str], OpenDeadLetter]]:
    """Yield the open dead letters of rows that the warehouse rejected, by event type and address of the segment.

    Raises StorageError as `read_minute` does.
    """
    for opened in read_minute(segments, log, selection).rows:
        yield (opened.dead_letter.event_type or "", opened.dead_letter.source.uri), opened


def _batch(batch: Sequence[OpenDeadLetter], key: _BatchKey) -> RecordBatch:
    origins = [origin_of(opened) for opened in batch]
    dialect = key.dialect
    provenance = RedeliveryProvenance(
        origins,
        key.run_started,
        key.masked,
        CsvDialect(dialect.columns, dialect.delimiter, dialect.encoding, dialect.decimal_commas)
        if dialect
        else None,
    )
    return RecordBatch([opened.dead_letter.record for opened in batch], provenance)


def _run_started(dead_letter: DeadLetter) -> float | None:
    return None if dead_letter.run_started_at is None else dead_letter.run_started_at.timestamp()


def origin_of(opened: OpenDeadLetter) -> Origin:
    """Return the origin of the record of a dead letter, as it was at first, with its redelivery."""
    dead_letter = opened.dead_letter
    source = dead_letter.source
    return Origin(
        uri=source.uri,
        arrival=(dead_letter.arrived_at or dead_letter.time).timestamp(),
        partition=source.partition,
        offset=source.offset,
        line=source.line,
        message_id=source.message_id,
        attributes=dead_letter.attributes or {},
        timed=not dead_letter.untimed,
        place=dead_letter.place,
        redelivery=RedeliveryOrigin(
            dead_letter.letter_id,
            opened.attempt,
            dead_letter.time,
            _run_started(dead_letter),
            opened.quarantined,
        ),
    )
