"""Dead letters: what fails is kept whole, with every reason and all that redelivery needs.

A letter is an event like any other: its contract is `dead_letter.odcs.yaml`, it is appended to a log of its
own and loaded into a table of its own, each exactly once. Its identity is its payload and where that came
from, so the same failure met again is the same letter.
"""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from importlib.resources import as_file, files
from typing import Any

import apache_beam as beam
import msgspec
import xxhash
from apache_beam.utils.timestamp import Timestamp

from pipeline.clock import Clock
from pipeline.compile.explain import violation_code
from pipeline.contracts import Contract, load_contract
from pipeline.elements import DEAD_LETTER, LogKey, Part, Rejected, add_receipts
from pipeline.shuffle import Gathered

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

    @property
    def record(self) -> bytes:
        """The exact bytes that were rejected."""
        if self.payload is not None:
            return self.payload.encode()
        return base64.b64decode(self.payload_base64 or "")


def dead_letter_contract() -> Contract:
    """Return the contract of the dead-letter log and table; it comes with the package."""
    with as_file(files("pipeline") / "dead_letter.odcs.yaml") as path:
        return load_contract(str(path))


def dead_letter(rejected: Rejected, job: str, rejected_at: float) -> DeadLetter:
    """Return the letter of one rejected record; `rejected_at` is in epoch seconds.

    Its `time`, which chooses its folder, is the event's own time where a file holds one, and otherwise the
    source's: publish time, log time, file time. Neither changes when the record is met again.
    """
    origin = rejected.origin
    source = Source(origin.uri, origin.partition, origin.offset, origin.line, origin.message_id)
    text, encoded = _payload(rejected.record)
    return DeadLetter(
        letter_id=xxhash.xxh3_128_hexdigest(rejected.record + b"\0" + msgspec.json.encode(source)),
        time=rejected.event_time or _utc(origin.arrival),
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
    )


def _payload(record: bytes) -> tuple[str | None, str | None]:
    try:
        return record.decode(), None
    except UnicodeDecodeError:
        return None, base64.b64encode(record).decode()


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


class WrapLetters(beam.DoFn):
    """List of Rejected of one source -> (LogKey, EventBatch) of dead letters, in the window of the rejection."""

    def __init__(self, job: str, clock: Clock) -> None:
        """`job` is the name that letters carry, `clock` tells the time of rejection."""
        self._job = job
        self._clock = clock

    def start_bundle(self) -> None:
        """Begin with nothing held back."""
        self._gathered = Gathered()

    def process(
        self, rejected: Sequence[Rejected], timestamp: Timestamp = beam.DoFn.TimestampParam
    ) -> Iterator[Any]:
        """Wrap the rejected records of one batch."""
        now = self._clock()
        by_minute: dict[int, list[tuple[Rejected, bytes]]] = defaultdict(list)
        for each in rejected:
            letter = dead_letter(each, self._job, now)
            minute = (letter.time - _EPOCH) // _MINUTE * 60  # exact: at the year 9999 floats are not
            by_minute[minute].append((each, msgspec.json.encode(letter)))
        for minute, letters in by_minute.items():
            first = letters[0][0].origin
            receipts = add_receipts(each.receipts for each, _ in letters)
            part = Part(first.uri, first.offset or 0, [line for _, line in letters], receipts)
            window = int(timestamp.micros // 60_000_000) * 60
            self._gathered.add(LogKey(DEAD_LETTER, minute, 0), window, part)
        yield from self._gathered.overflow()

    def finish_bundle(self) -> Iterator[Any]:
        """Let go of the letters of the bundle."""
        yield from self._gathered.rest()
