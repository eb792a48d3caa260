"""Redelivery: the graph of a job over its own dead letters, and the marks that tell which were delivered again.

A letter is never changed or taken away. What became of it is a line of its own in the folder `redelivery` of the
letters' log, known by the letter and the attempt: append-only, and exactly once as everything in a log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import apache_beam as beam
import msgspec
from apache_beam.transforms.window import TimestampedValue

from sluice.clock import Clock
from sluice.config.durations import duration
from sluice.config.job import Job
from sluice.dead_letters.envelope import mark, minute_of
from sluice.elements import (
    REDELIVERY,
    EventBatch,
    LogKey,
    OrderedLines,
    RecordBatch,
    StepCounts,
    add_step_counts,
)
from sluice.errors import ConfigError
from sluice.graph.append import AppendToLog
from sluice.graph.build import RunContext, build
from sluice.graph.ledger import make_report
from sluice.graph.shuffle import pack, unpack
from sluice.sources.dead_letters import (
    CHOICES,
    DeadLetterSource,
    Selection,
    find_minutes,
    parse_time,
    read_minute,
    select,
)


def read_selection(where: Sequence[str], since: str | None, now: float) -> Selection:
    """Return what `--where` (name=value, several with commas between them) and `--since` choose.

    `since` is a time with its offset, or a duration back from `now` (epoch seconds).

    Raises:
        ConfigError: naming the flag, what was expected and what came.

    """
    chosen = []
    for each in (part for text in where for part in text.split(",")):
        name, separator, value = each.partition("=")
        if not separator or name not in CHOICES:
            message = f"--where: expected NAME=VALUE with one of {', '.join(CHOICES)}, got {each!r}"
            raise ConfigError(message)
        chosen.append((name, value))
    return replace(select(chosen, "--where"), since=None if since is None else _since(since, now))


def _since(text: str, now: float) -> datetime:
    if text[:1].isdigit() and "-" not in text:
        return datetime.fromtimestamp(now - duration(text, "--since"), UTC)
    return parse_time(text, "--since")


@dataclass(slots=True)
class Plan:
    """What a redelivery would deliver: `letters` by code and event type, and what it would leave alone."""

    letters: Counter[tuple[str, str]] = field(default_factory=Counter)
    done: int = 0
    load_rejected: int = 0
    unknown: int = 0


def plan_redelivery(source: DeadLetterSource) -> Plan:
    """Read all letters of `source` and their marks, and return what it would deliver.

    Raises:
        SourceError: there is no log of letters.
        StorageError: it cannot be read.

    """
    source.check()
    plan = Plan()
    for minute in find_minutes(source.log):
        found = read_minute(minute, source.log, source.selection)
        plan.letters.update((each.letter.code, each.letter.event_type or "unknown") for each in found.open)
        plan.done += found.done
        plan.load_rejected += found.load_rejected
        plan.unknown += found.unknown
    return plan


def build_redelivery(
    records: beam.PCollection[RecordBatch], job: Job, run: RunContext
) -> beam.PCollection[dict[str, Any]]:
    """Put the graph of `job` behind redelivered `records`, and mark them when all of them are stored.

    What fails again is marked as rejected by the graph itself, with its letter. When the totals of all steps are
    written, every other letter is in the log and in the warehouse. Then all are marked as accepted: of one attempt
    the first mark stays, so this changes nothing for those that failed. A run that dies before leaves letters
    without a mark; the next one finds their events in the log.
    """
    totals = build(records, job, run)
    notes = records | "Note letters" >> beam.Map(_note, job.name, run.clock)
    marks = notes | "Wait until stored" >> beam.FlatMap(_marks, beam.pvalue.AsIter(totals))
    return {"letters": marks} | "Append marks" >> AppendToLog(
        run.letters, run.dead_letter_windowing, run.retry, run.spill
    )


def _note(batch: RecordBatch, job: str, clock: Clock) -> tuple[int, bytes]:
    """Return the minute of the letters of a batch, and their marks, packed: they wait while the graph works."""
    now = clock()
    letters = [origin.letter for origin in (batch.redelivered.origins if batch.redelivered else ())]
    lines = [msgspec.json.encode(mark(letter, job, now)) for letter in letters if letter is not None]
    minute = minute_of(letters[0].time) if letters and letters[0] is not None else 0
    return minute, pack(EventBatch([OrderedLines(batch.uri, batch.offsets[0], lines)]))


def _marks(note: tuple[int, bytes], totals: Iterable[StepCounts]) -> Iterator[TimestampedValue]:
    """Yield the marks of a batch, unless the run's books do not balance: then some record may be lost."""
    if make_report(add_step_counts(totals), job="", run_id="", started=0, seconds=0).reconciled:
        minute, packed = note
        yield TimestampedValue((LogKey(REDELIVERY, minute, 0), unpack(packed)), 0)
