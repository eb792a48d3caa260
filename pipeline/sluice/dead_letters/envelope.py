"""Dead letters: what fails is kept whole, with every reason and all that redelivery needs.

A letter is an event like any other: its contract is `dead_letter.odcs.yaml`, it is appended to a log of its
own and loaded into a table of its own, each exactly once. Its identity is its payload and where that came
from, so the same failure met again is the same letter.
"""

from __future__ import annotations

import base64
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import as_file, files
from typing import Any, Literal

import apache_beam as beam
import msgspec
import xxhash
from apache_beam.typehints import with_output_types
from apache_beam.utils.timestamp import Timestamp

from sluice.clock import Clock
from sluice.contracts import Contract, load_contract
from sluice.elements import (
    DEAD_LETTER,
    QUARANTINE,
    REDELIVERY,
    Acks,
    EventBatch,
    LogKey,
    OrderedLines,
    Origin,
    RedeliveryOrigin,
    Rejected,
    add_acks,
)
from sluice.errors import StorageError
from sluice.eventlog.log import AppendResult, EventLog, TypeLog
from sluice.graph.shuffle import BundleBuffer
from sluice.storage import Store, open_store
from sluice.storage.local import LocalStore
from sluice.validation.explainer import violation_code

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE = timedelta(minutes=1)


class Source(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a letter's record came from; `uri` with what follows finds it again."""

    uri: str
    partition: int | None = None
    offset: int | None = None
    line: int | None = None
    message_id: str | None = None


class Reason(msgspec.Struct, frozen=True):
    """One violation, as a letter lists it."""

    code: str
    path: str
    expected: str
    got: str


class StoredDialect(msgspec.Struct, frozen=True):
    """How a row of a CSV file is to be read; see `elements.Layout`."""

    columns: tuple[str, ...]
    delimiter: str
    encoding: str


class DeadLetter(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One line of the dead-letter log; the fields are described in `dead_letter.odcs.yaml`."""

    letter_id: str
    time: datetime
    rejected_at: datetime
    job: str
    step: str
    code: str
    violations: list[Reason]
    source: Source
    payload: str | None = None
    payload_base64: str | None = None
    event_type: str | None = None
    contract: str | None = None
    event_time: datetime | None = None
    attributes: dict[str, str] | None = None
    attempts: int = 1
    arrived_at: datetime | None = None
    run_started_at: datetime | None = None
    layout: StoredDialect | None = None
    protected: list[str] | None = None

    @property
    def record(self) -> bytes:
        """The exact bytes that were rejected."""
        if self.payload is not None:
            return self.payload.encode()
        return base64.b64decode(self.payload_base64 or "")


@cache  # reading it takes some 35 ms, and the start of a run asks for it in three places
def dead_letter_contract() -> Contract:
    """Return the contract of the dead-letter log and table; it comes with the package."""
    with as_file(files("sluice.dead_letters") / "dead_letter.odcs.yaml") as path:
        return load_contract(str(path))


class Redelivery(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One mark: a letter was delivered again, as its `attempt`, and what became of it.

    `time` is the letter's, so that its marks lie in the same minute. The mark of a letter that failed again has
    the reasons.
    """

    letter_id: str
    attempt: int
    time: datetime
    redelivered_at: datetime
    job: str
    outcome: Literal["accepted", "rejected"]
    code: str | None = None
    violations: list[Reason] | None = None
    contract: str | None = None


class DeadLetterLog(EventLog):
    """The log of letters and, in a store of its own, that of letters which cannot be searched for protected values."""

    quarantine: EventLog

    @classmethod
    def at(cls, url: str, quarantine: str | None = None, *, marks: bool = False) -> DeadLetterLog:
        """Return the log at `url`, with `marks` in its folder `redelivery`; touches nothing yet.

        Those that cannot be searched are in the folder `quarantine` unless it is elsewhere.
        """
        letters = TypeLog.of(dead_letter_contract(), folder="")
        type_logs = {DEAD_LETTER: letters}
        if marks:
            rule = "properties letter_id, attempt"
            type_logs[REDELIVERY] = TypeLog(REDELIVERY, REDELIVERY, rule, _mark_identity)
        log = cls(open_store(url), type_logs)
        apart = open_store(quarantine if quarantine is not None else f"{url.rstrip('/')}/{QUARANTINE}")
        log.quarantine = EventLog(apart, {QUARANTINE: letters})
        return log

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave the caches behind, as `Log` does."""
        return _letter_log, (*super().__reduce__()[1], self.quarantine)

    def open_quarantine(self) -> None:
        """Open the log of what cannot be searched as `open` does; a folder on this machine is its owner's alone."""
        if isinstance(self.quarantine.store, LocalStore):
            try:
                os.makedirs(self.quarantine.store.root, mode=0o700, exist_ok=True)
            except OSError as error:
                message = f"{self.quarantine.store.root}: cannot make the folder: {error.strerror}"
                raise StorageError(message) from error
        self.quarantine.open()

    def append(self, event_type: str, minute: int, shard: int, lines: Sequence[bytes]) -> AppendResult:
        """Append to the log that `event_type` belongs to; see `Log.append`."""
        if event_type == QUARANTINE:
            return self.quarantine.append(event_type, minute, shard, lines)
        return super().append(event_type, minute, shard, lines)


def _letter_log(
    store: Store, type_logs: Mapping[str, TypeLog], shards: int, cached: int, quarantine: EventLog
) -> DeadLetterLog:
    log = DeadLetterLog(store, type_logs, shards, cached)
    log.quarantine = quarantine
    return log


def _mark_identity() -> Callable[[bytes], bytes]:
    """Compile by what a mark is known: of one attempt the first mark stays."""
    mark = msgspec.defstruct("Mark", [("letter_id", str), ("attempt", int)], gc=False)
    decode: Callable[[bytes], Any] = msgspec.json.Decoder(mark).decode

    def identify(line: bytes) -> bytes:
        found = decode(line)
        return xxhash.xxh3_128_digest(f"{found.letter_id}/{found.attempt}".encode())

    return identify


def make_dead_letter(
    rejected: Rejected, job: str, rejected_at: float, run_started: float | None = None
) -> DeadLetter:
    """Return the letter of one rejected record; times are in epoch seconds, `run_started` that of a bounded run.

    Its `time`, which chooses its folder, is the event's own time where a file holds one, and otherwise the
    source's: publish time, log time, file time. Neither changes when the record is met again. Where the log of its
    event type has a folder for an hour or a day, it is the first instant of that, so that a history of few events a
    minute has few letter files. A record that is delivered again keeps the identity and the time that it got first.
    """
    origin, known = rejected.origin, rejected.origin.letter
    source = Source(origin.uri, origin.partition, origin.offset, origin.line, origin.message_id)
    text, encoded = _payload(rejected.record)
    started, layout = run_started if known is None else known.started, rejected.dialect
    return DeadLetter(
        letter_id=_letter_id(rejected, source) if known is None else known.id,
        time=_floor(rejected.event_time or _utc(origin.arrival), rejected.span)
        if known is None
        else known.time,
        rejected_at=_utc(rejected_at),
        job=job,
        step=rejected.step,
        code=violation_code(rejected.violations),
        violations=[Reason(each.code, each.path, each.expected, each.got) for each in rejected.violations],
        source=source,
        payload=text,
        payload_base64=encoded,
        event_type=rejected.event_type,
        contract=rejected.contract,
        event_time=rejected.event_time,
        attributes=dict(origin.attributes) or None,
        attempts=1 if known is None else known.attempt,
        arrived_at=_utc(origin.arrival),
        run_started_at=None if started is None else _utc(started),
        layout=None if layout is None else StoredDialect(layout.columns, layout.delimiter, layout.encoding),
        protected=sorted(rejected.masked) or None,
    )


def mark(
    letter: RedeliveryOrigin, job: str, redelivered_at: float, rejected: DeadLetter | None = None
) -> Redelivery:
    """Return the mark of a letter that was delivered again, at epoch seconds; `rejected` as what it failed again."""
    return Redelivery(
        letter_id=letter.id,
        attempt=letter.attempt,
        time=letter.time,
        redelivered_at=_utc(redelivered_at),
        job=job,
        outcome="accepted" if rejected is None else "rejected",
        code=None if rejected is None else rejected.code,
        # What cannot be searched may be quoted in its reasons.
        violations=None if rejected is None or letter.quarantine else rejected.violations,
        contract=None if rejected is None else rejected.contract,
    )


def _floor(time: datetime, span: int) -> datetime:
    """Return the beginning of the `span` minutes in which `time` lies; a time within a minute stays what it is."""
    if span == 1:
        return time
    minutes = (time - _EPOCH) // _MINUTE
    return _EPOCH + (minutes - minutes % span) * _MINUTE


def minute_of(time: datetime) -> int:
    """Return the minute of `time`, in epoch seconds."""
    return (time - _EPOCH) // _MINUTE * 60  # exact: at the year 9999 floats are not


def _letter_id(rejected: Rejected, source: Source) -> str:
    """Return the letter's identity: it is told to all, so what is not to be seen is hashed with the key first."""
    record = rejected.record if rejected.quarantine is None else rejected.quarantine
    return xxhash.xxh3_128_hexdigest(record + b"\0" + msgspec.json.encode(source))


def _payload(record: bytes) -> tuple[str | None, str | None]:
    """Return text, or base64 where there is no text, or one with a zero character, which PostgreSQL cannot hold."""
    try:
        if b"\0" not in record:
            return record.decode(), None
    except UnicodeDecodeError:
        pass
    return None, base64.b64encode(record).decode()


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@with_output_types(tuple[LogKey, EventBatch])
class WrapDeadLetters(beam.DoFn):
    """List of Rejected of one source -> (LogKey, EventBatch) of dead letters, in the window of the rejection.

    With `marks`, a record that is delivered again brings the mark of that attempt as well.
    """

    def __init__(
        self, job: str, clock: Clock, run_started: float | None = None, *, marks: bool = False
    ) -> None:
        """`job` is the name that letters carry, `clock` tells the time of rejection; see `dead_letter`."""
        self._job = job
        self._clock = clock
        self._run_started = run_started
        self._marks = marks

    def start_bundle(self) -> None:
        """Begin with nothing held back."""
        self._buffer = BundleBuffer()

    def process(
        self, rejected: Sequence[Rejected], timestamp: Timestamp = beam.DoFn.TimestampParam
    ) -> Iterator[Any]:
        """Wrap the rejected records of one batch."""
        now = self._clock()
        by_key: dict[LogKey, list[tuple[Origin, Acks, bytes]]] = defaultdict(list)
        for each in rejected:
            letter = make_dead_letter(each, self._job, now, self._run_started)
            minute = minute_of(letter.time)
            line = msgspec.json.encode(letter)
            apart = each.quarantine is not None or (
                each.origin.letter is not None and each.origin.letter.quarantine
            )
            by_key[LogKey(QUARANTINE if apart else DEAD_LETTER, minute, 0)].append(
                (each.origin, each.acks, line)
            )
            if self._marks and each.origin.letter is not None:
                line = msgspec.json.encode(mark(each.origin.letter, self._job, now, letter))
                by_key[LogKey(REDELIVERY, minute, 0)].append((each.origin, {}, line))
        window = int(timestamp.micros // 60_000_000) * 60
        for key, letters in by_key.items():
            first = letters[0][0]
            acks = add_acks(each for _, each, _ in letters)
            self._buffer.add(
                key,
                window,
                OrderedLines(first.uri, first.offset or 0, [line for _, _, line in letters], acks),
            )
        yield from self._buffer.flush_if_full()

    def finish_bundle(self) -> Iterator[Any]:
        """Let go of the letters of the bundle."""
        yield from self._buffer.rest()
