"""The envelope of a dead letter: the rejected record, whole, with every reason and all that redelivery needs.

A dead letter is an event like any other: its contract is `dead_letter.odcs.yaml`, it is appended to an event log of
its own and loaded into a table of its own, each exactly once. Its deduplication key is its payload and where that
came from, so the same failure of the same record is the same dead letter.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import as_file, files
from typing import Literal, TypeVar

import msgspec
import xxhash

from sluice.contracts import Contract, load_contract
from sluice.elements import Rejected, Violation
from sluice.provenance import CsvDialect, Origin, RedeliveryOrigin
from sluice.validation.explainer import violation_code

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE = timedelta(minutes=1)


class Source(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a record came from; `uri` and the coordinates after it find it again."""

    uri: str
    partition: int | None = None
    offset: int | None = None
    line: int | None = None
    message_id: str | None = None


class Reason(msgspec.Struct, frozen=True):
    """One violation, as a dead letter lists it."""

    code: str
    path: str
    expected: str
    got: str


class StoredDialect(msgspec.Struct, frozen=True, omit_defaults=True):
    """How to read the row of a CSV file; see `provenance.CsvDialect`."""

    columns: tuple[str, ...]
    delimiter: str
    encoding: str
    decimal_commas: tuple[str, ...] = ()


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
    untimed: bool = False
    place: int = 0

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
        return load_contract(str(path), internal=True)


@cache
def redelivery_contract() -> Contract:
    """Return the contract of the table of redelivery entries; it comes with the package."""
    with as_file(files("sluice.dead_letters") / "redelivery.odcs.yaml") as path:
        return load_contract(str(path), internal=True)


class RedeliveryEntry(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What became of a dead letter that was redelivered, as its `attempt`.

    `time` is that of the dead letter, so that its entries lie in the same minute. The entry of a record that was
    rejected again has the reasons.
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


def make_dead_letter(
    rejected: Rejected, job: str, rejected_at: float, run_started: float | None = None
) -> DeadLetter:
    """Return the dead letter of one rejected record.

    Args:
        rejected: the record, its origin and its violations.
        job: name of the job.
        rejected_at: epoch seconds.
        run_started: when the run began, in epoch seconds, if its source is bounded.

    """
    origin, dialect = rejected.origin, rejected.dialect
    source = _source(origin)
    first = origin.redelivery or _first_delivery(rejected, source, run_started)
    text, encoded = _payload(rejected.record)
    return DeadLetter(
        letter_id=first.letter_id,
        time=first.time,
        rejected_at=_utc(rejected_at),
        job=job,
        step=rejected.step,
        code=violation_code(rejected.violations),
        violations=list(map(_reason, rejected.violations)),
        source=source,
        payload=text,
        payload_base64=encoded,
        event_type=_encodable(rejected.event_type),
        contract=_encodable(rejected.contract),
        event_time=rejected.event_time,
        attributes={_encodable(key): _encodable(text) for key, text in origin.attributes.items()} or None,
        attempts=first.attempt,
        arrived_at=_utc(origin.arrival),
        run_started_at=None if first.run_started is None else _utc(first.run_started),
        layout=_stored_dialect(dialect),
        protected=sorted(map(_encodable, rejected.masked)) or None,
        untimed=not origin.timed,
        place=origin.place,
    )


def _source(origin: Origin) -> Source:
    uri, message_id = _encodable(origin.uri), _encodable(origin.message_id)
    return Source(uri, origin.partition, origin.offset, origin.line, message_id)


def _reason(violation: Violation) -> Reason:
    texts = map(_encodable, (violation.path, violation.expected, violation.got))
    return Reason(violation.code, *texts)


def _first_delivery(rejected: Rejected, source: Source, run_started: float | None) -> RedeliveryOrigin:
    """Return id and time of a record's first dead letter; a redelivered record keeps those that it has.

    The time chooses the folder in the log. It is the event's own time where it can be read, otherwise the arrival at
    the source: publish time, log time or file time; neither changes when the record is read again. Without any of them
    it is the beginning of 1970. Where the log of its event type has a folder for an hour or a day, it is the beginning
    of that, so that historical data with few events a minute does not make one dead-letter file for each.
    """
    arrival = _utc(rejected.origin.arrival) if rejected.origin.timed else _EPOCH
    time = _floor(rejected.event_time or arrival, rejected.partition_minutes)
    return RedeliveryOrigin(_letter_id(rejected, source), 1, time, run_started)


def make_redelivery_entry(
    redelivery: RedeliveryOrigin, job: str, redelivered_at: float, rejected: DeadLetter | None = None
) -> RedeliveryEntry:
    """Return the entry of a dead letter that was redelivered at `redelivered_at` (epoch seconds).

    `rejected` is the dead letter as which the record was rejected again; None if it was accepted.
    """
    return RedeliveryEntry(
        letter_id=redelivery.letter_id,
        attempt=redelivery.attempt,
        time=redelivery.time,
        redelivered_at=_utc(redelivered_at),
        job=job,
        outcome="accepted" if rejected is None else "rejected",
        code=None if rejected is None else rejected.code,
        # The reasons may quote a record that cannot be searched for values to mask.
        violations=None if rejected is None or redelivery.quarantined else rejected.violations,
        contract=None if rejected is None else rejected.contract,
    )


def minute_of(time: datetime) -> int:
    """Return the minute of `time`, in epoch seconds."""
    return (time - _EPOCH) // _MINUTE * 60  # exact: at the year 9999 floats are not


def _floor(time: datetime, minutes: int) -> datetime:
    """Return the beginning of the `minutes` in which `time` lies; a time within one minute stays what it is."""
    if minutes == 1:
        return time
    minute = (time - _EPOCH) // _MINUTE
    return _EPOCH + (minute - minute % minutes) * _MINUTE


def _letter_id(rejected: Rejected, source: Source) -> str:
    """Return the hash of payload and source; of a quarantined record, which has raw values, its keyed hash counts.

    A conflict is the same wherever its record came from, and a row wherever the event log is.
    """
    if rejected.identity is not None:
        return xxhash.xxh3_128_hexdigest(rejected.identity)
    record = rejected.record if rejected.quarantine_hash is None else rejected.quarantine_hash
    return xxhash.xxh3_128_hexdigest(record + b"\0" + msgspec.json.encode(source))


def _stored_dialect(dialect: CsvDialect | None) -> StoredDialect | None:
    if dialect is None:
        return None
    columns, commas = (tuple(map(_encodable, names)) for names in (dialect.columns, dialect.decimal_commas))
    return StoredDialect(columns, _encodable(dialect.delimiter), dialect.encoding, commas)


Text = TypeVar("Text", str, str | None)


def _encodable(text: Text) -> Text:
    """Return a text as JSON can have it: a lone surrogate, as in a file name that is not UTF-8, as its escape."""
    return text if text is None or text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _payload(record: bytes) -> tuple[str | None, str | None]:
    """Return the record as text, or as base64 if it is not UTF-8 or has a zero character, which PostgreSQL rejects."""
    try:
        if b"\0" not in record:
            return record.decode(), None
    except UnicodeDecodeError:
        pass
    return None, base64.b64encode(record).decode()


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
