"""Write rejected records as dead letters: wrap them, append them to their log, load them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import msgspec
from apache_beam.typehints import with_output_types
from apache_beam.utils.timestamp import Timestamp

from sluice.clock import Clock
from sluice.config.job import Job
from sluice.dead_letters.envelope import make_dead_letter, make_redelivery_entry, minute_of
from sluice.elements import (
    DEAD_LETTER,
    QUARANTINE,
    REDELIVERY,
    Acks,
    EventBatch,
    LogKey,
    OrderedLines,
    Rejected,
    StepCounts,
    add_acks,
)
from sluice.graph.append import AppendToLog
from sluice.graph.run_context import RunContext
from sluice.graph.shuffle import BundleBuffer
from sluice.provenance import Origin


@with_output_types(tuple[LogKey, EventBatch])
class WrapDeadLetters(beam.DoFn):
    """List of Rejected of one batch -> (LogKey, EventBatch) of dead letters, in the window of the rejection.

    With `redeliveries`, a redelivered record that is rejected again adds the redelivery entry of that attempt.
    """

    def __init__(
        self, job: str, clock: Clock, run_started: float | None = None, *, redeliveries: bool = False
    ) -> None:
        """`job` is the name in the dead letters, `clock` gives the time of rejection; see `make_dead_letter`."""
        self._job = job
        self._clock = clock
        self._run_started = run_started
        self._redeliveries = redeliveries

    def start_bundle(self) -> None:
        """Begin with an empty buffer."""
        self._buffer = BundleBuffer()

    def process(
        self, rejected: Sequence[Rejected], timestamp: Timestamp = beam.DoFn.TimestampParam
    ) -> Iterator[Any]:
        """Wrap the rejected records of one batch."""
        now = self._clock()
        lines_of: dict[LogKey, list[_Line]] = defaultdict(list)
        for record in rejected:
            for key, line in self._wrap(record, now):
                lines_of[key].append(line)
        window = int(timestamp.micros // 60_000_000) * 60
        for key, lines in lines_of.items():
            first = lines[0].origin
            acks = add_acks(line.acks for line in lines)
            self._buffer.add(
                key, window, OrderedLines(first.uri, first.offset or 0, [line.data for line in lines], acks)
            )
        yield from self._buffer.flush_if_full()

    def _wrap(self, rejected: Rejected, now: float) -> Iterator[tuple[LogKey, _Line]]:
        """Yield the dead letter of one record, and its redelivery entry if it was redelivered."""
        origin, redelivery = rejected.origin, rejected.origin.redelivery
        dead_letter = make_dead_letter(rejected, self._job, now, self._run_started)
        minute = minute_of(dead_letter.time)
        quarantined = rejected.quarantine_hash is not None or (
            redelivery is not None and redelivery.quarantined
        )
        event_type = QUARANTINE if quarantined else DEAD_LETTER
        yield (
            LogKey(event_type, minute, 0),
            _Line(msgspec.json.encode(dead_letter), origin, rejected.acks),
        )
        if self._redeliveries and redelivery is not None:
            entry = make_redelivery_entry(redelivery, self._job, now, dead_letter)
            yield LogKey(REDELIVERY, minute, 0), _Line(msgspec.json.encode(entry), origin, {})

    def finish_bundle(self) -> Iterator[Any]:
        """Emit what is left in the buffer."""
        yield from self._buffer.flush()


class _Line(NamedTuple):
    """A line for the log, the origin of its record, and the acks due once it is stored."""

    data: bytes
    origin: Origin
    acks: Acks


class WrittenDeadLetters(NamedTuple):
    """What the steps of the dead letters counted, and the acks of the records whose dead letters are stored."""

    step_counts: tuple[beam.PCollection[StepCounts], ...]
    acks: beam.PCollection[Acks]


def write_dead_letters(
    rejected: Mapping[str, beam.PCollection[Sequence[Rejected]]], job: Job, run: RunContext
) -> WrittenDeadLetters:
    """Append the rejected records of each input, by name, to the log of dead letters, and load them."""
    redeliveries = REDELIVERY in run.dead_letters.type_logs
    appended = {
        name: records
        | f"Wrap {name}"
        >> beam.ParDo(WrapDeadLetters(job.name, run.clock, run.ages.started, redeliveries=redeliveries))
        for name, records in rejected.items()
    } | "Append dead letters" >> AppendToLog(
        run.dead_letters, run.dead_letter_windowing, run.retry, run.spill, run.counting_handle
    )
    loaded = appended["load_requests"] | "Load dead letters" >> run.load_dead_letters(job)
    return WrittenDeadLetters((appended["step_counts"], loaded.step_counts), loaded.acks)
