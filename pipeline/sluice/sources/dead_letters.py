"""Dead letters as a source: what a job rejected, delivered again with the origin that it had first.

`dead-letters:URL` reads the letters in the folder that a job's `dead_letters` names, one after the other minute of
their log. Left out are those whose marks say that they were accepted since, the rows that a warehouse refused
(their events are in the log already), and those in which a protected value itself broke its contract (it was not
kept, so that nobody can tell whether it would keep the contract now). What stands behind a question mark chooses
among the others, such as `?code=enum&event_type=order`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, unquote

import apache_beam as beam
import msgspec

from sluice.dead_letters.envelope import DeadLetter, DeadLetterLog, Redelivery, StoredDialect
from sluice.elements import (
    DEAD_LETTER,
    QUARANTINE,
    REDELIVERY,
    CsvDialect,
    Origin,
    RecordBatch,
    RedeliveryBatch,
    RedeliveryOrigin,
)
from sluice.errors import ConfigError, SourceError, StorageError
from sluice.eventlog.log import LOG_FILE, EventLog
from sluice.eventlog.paths import minute_prefix, parse_segment_path, segment_number
from sluice.validation.masking import PROTECTED

SCHEME = "dead-letters"

BATCH_BYTES = 512 << 10
"""Records that become a batch at once, as of files."""

CHOICES = ("code", "event_type", "job", "step", "contract")
"""Fields of a letter that letters are chosen by."""

_letter = msgspec.json.Decoder(DeadLetter).decode
_mark = msgspec.json.Decoder(Redelivery).decode


@dataclass(frozen=True, slots=True)
class Selection:
    """Which letters are meant: those with one of the `values` of each field, rejected at `since` or later."""

    values: Mapping[str, frozenset[str]] = field(default_factory=dict)
    since: datetime | None = None

    def __contains__(self, letter: DeadLetter) -> bool:
        """Tell whether `letter` is one of them."""
        return (self.since is None or letter.rejected_at >= self.since) and all(
            getattr(letter, name) in values for name, values in self.values.items()
        )

    def url(self, folder: str, quarantine: str | None = None) -> str:
        """Return the source that reads them from `folder`; see `LetterLog.at`."""
        chosen = [(name, value) for name, values in self.values.items() for value in sorted(values)]
        if self.since is not None:
            chosen.append(("since", self.since.isoformat()))
        if quarantine is not None:
            chosen.append((QUARANTINE, quarantine))
        query = "&".join(f"{name}={quote(value)}" for name, value in chosen)
        return f"{SCHEME}:{quote(folder, safe=_PLAIN)}{'?' if query else ''}{query}"


_PLAIN = "/:.-_~@+=, "


def select(chosen: Iterable[tuple[str, str]], where: str) -> Selection:
    """Return the selection that names and values ask for; several values of one name are alternatives.

    Raises:
        ConfigError: a name is unknown or `since` is no time; `where` begins the message.

    """
    values: dict[str, set[str]] = defaultdict(set)
    since = None
    for name, value in chosen:
        if name == "since":
            since = parse_time(value, f"{where}: since")
        elif name in CHOICES:
            values[name].add(value)
        else:
            message = f"{where}: expected some of {', '.join(CHOICES)}, since and quarantine, got {name!r}"
            raise ConfigError(message)
    return Selection({name: frozenset(each) for name, each in values.items()}, since)


def parse_time(text: str, where: str) -> datetime:
    """Return the time that `text` says, with its offset; ConfigError, which `where` begins, if it says none."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        message = f"{where}: expected a time with its offset, such as 2025-02-08T13:09:00Z, got {text!r}"
        raise ConfigError(message)
    return time


class Open(NamedTuple):
    """A letter, as which attempt it would be delivered again, and whether it cannot be searched."""

    letter: DeadLetter
    attempt: int
    quarantine: bool


@dataclass(slots=True)
class Read:
    """What one minute of the letters' log holds of a selection: what is `open`, and how many are not.

    `done` were accepted when they were delivered again; `refused` are rows that the warehouse refused; in `unknown`
    a protected value broke its contract.
    """

    open: list[Open]
    done: int
    load_rejected: int
    unknown: int


Minute = tuple[int, tuple[str, ...], tuple[str, ...]]
"""A minute (epoch seconds), the segments of its letters, and of those that cannot be searched."""


class DeadLetterSource(beam.PTransform):
    """PBegin -> RecordBatch: the records of open letters, each with its first origin and arrival.

    A batch holds letters of one minute that a run of the same kind rejected. Bounded: letters that come meanwhile
    may be left for the next time.
    """

    bounded = True

    def __init__(self, url: str) -> None:
        """Take `dead-letters:FOLDER?name=value&…`; ConfigError if a name is unknown."""
        super().__init__()
        folder, _, query = url.removeprefix(f"{SCHEME}:").partition("?")
        self.url = unquote(folder)
        given = parse_qsl(query, keep_blank_values=True)
        self.selection = select([each for each in given if each[0] != QUARANTINE], url)
        self.log = DeadLetterLog.at(self.url, dict(given).get(QUARANTINE), marks=True)

    def check(self) -> None:
        """Raise SourceError if there is no log of letters."""
        if LOG_FILE not in self.log.store.list(""):
            message = f"{self.url}: expected the dead letters of a job, got no {LOG_FILE}"
            raise SourceError(message)

    def size(self) -> int | None:
        """Return None: how many bytes the records have shows when they are read."""
        return None

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[RecordBatch]:
        """Find the segments where the workers are, and spread them by minute."""
        return (
            begin
            | "Name letters" >> beam.Create([self.log])
            | "Find minutes" >> beam.FlatMap(find_minutes)
            | "Spread minutes" >> beam.Reshuffle()
            | "Read letters"
            >> beam.FlatMap(_read_batches, self.log, self.selection).with_output_types(RecordBatch)
        )


def find_minutes(log: DeadLetterLog) -> list[Minute]:
    """Return the minutes that have letters, in order."""
    found: dict[int, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for place, each in enumerate((log, log.quarantine)):
        for path in each.store.walk():
            name = parse_segment_path(path)
            if name is not None and (name.folder, name.name) == ("", DEAD_LETTER):
                found[name.minute][place].append(each.store.url(path))
    return [(minute, tuple(paths), tuple(apart)) for minute, (paths, apart) in sorted(found.items())]


def read_minute(minute: Minute, log: DeadLetterLog, selection: Selection) -> Read:
    """Return what a minute holds of `selection`.

    Raises:
        StorageError: a segment cannot be read, or holds what is neither letter nor mark.

    """
    started, paths, apart = minute
    attempts: dict[str, int] = {}
    accepted = set()
    for mark in _decoded(_mark, log, _mark_segments(log, started)):
        attempts[mark.letter_id] = max(attempts.get(mark.letter_id, 1), mark.attempt)
        if mark.outcome == "accepted":
            accepted.add(mark.letter_id)
    found = Read([], 0, 0, 0)
    for letters, quarantine in (
        (_decoded(_letter, log, paths), False),
        (_decoded(_letter, log.quarantine, apart), True),
    ):
        for letter in letters:
            if letter not in selection:
                continue
            if letter.step == "load":
                found.load_rejected += 1
            elif letter.letter_id in accepted:
                found.done += 1
            elif any(reason.got == PROTECTED for reason in letter.violations):
                found.unknown += 1
            else:
                attempt = max(attempts.get(letter.letter_id, 1), letter.attempts) + 1
                found.open.append(Open(letter, attempt, quarantine))
    return found


def _mark_segments(log: EventLog, minute: int) -> Iterator[str]:
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
                message = f"{path}: line {number}: expected a letter or a mark, got {error}; restore it"
                raise StorageError(message) from error


def _read_batches(minute: Minute, log: DeadLetterLog, selection: Selection) -> Iterator[RecordBatch]:
    alike: dict[_Common, list[Open]] = defaultdict(list)
    for each in read_minute(minute, log, selection).open:
        letter = each.letter
        started = None if letter.run_started_at is None else letter.run_started_at.timestamp()
        alike[_Common(started, letter.layout, frozenset(letter.protected or ()))].append(each)
    for common, letters in alike.items():
        held: list[Open] = []
        size = 0
        for each in letters:
            held.append(each)
            size += len(each.letter.record)
            if size >= BATCH_BYTES:
                yield _batch(held, common)
                held, size = [], 0
        if held:
            yield _batch(held, common)


class _Common(NamedTuple):
    """What the letters of a batch have in common."""

    started: float | None
    dialect: StoredDialect | None
    masked: frozenset[str]


def _batch(held: Sequence[Open], common: _Common) -> RecordBatch:
    origins = [_origin(each, common.started) for each in held]
    rows = common.dialect
    return RecordBatch(
        uri=origins[0].uri,
        records=[each.letter.record for each in held],
        offsets=[origin.offset or 0 for origin in origins],
        arrival=origins[0].arrival,
        arrivals=[origin.arrival for origin in origins],
        dialect=None if rows is None else CsvDialect(rows.columns, rows.delimiter, rows.encoding),
        redelivered=RedeliveryBatch(origins, common.started, common.masked),
    )


def _origin(each: Open, run_started: float | None) -> Origin:
    letter = each.letter
    source = letter.source
    return Origin(
        uri=source.uri,
        arrival=(letter.arrived_at or letter.time).timestamp(),
        partition=source.partition,
        offset=source.offset,
        line=source.line,
        message_id=source.message_id,
        attributes=letter.attributes or {},
        letter=RedeliveryOrigin(letter.letter_id, each.attempt, letter.time, run_started, each.quarantine),
    )
