"""The ledger: the counts of every step, and whether they reconcile.

Each figure comes from the step that did the work: what the source read, what decode decided, what the logs
stored, what the warehouse loaded. If a record is lost between two steps, the counts do not reconcile.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import apache_beam as beam
import msgspec
from apache_beam.utils.windowed_value import PaneInfoTiming

from sluice.clock import Clock, system_clock
from sluice.elements import (
    DEAD_LETTER,
    INTERNAL_TYPES,
    NAMED_FIGURES,
    OTHER_NAMES,
    QUARANTINE,
    REDELIVERY,
    RecordBatch,
    StepCounts,
)
from sluice.errors import StorageError
from sluice.graph.report_windows import Window, reported_windows
from sluice.graph.step_counts import SumStepCounts
from sluice.graph.submission import read_submission
from sluice.graph.totals import compact_totals, next_compaction, read_folders, write_totals
from sluice.graph.windowing import Windowing
from sluice.source_tallies import add_up, tally_read

_LOGGER = logging.getLogger("sluice")

_FIGURES = (
    "accepted",
    "duplicates",
    "conflicting",
    "rejected",
    "loaded",
    "load_rejected",
    "backfilled",
    "segments",
    "repaired",
)

_NAMED = {"reason": "reasons", "unknown_property": "unknown_properties", "unknown_type": "unknown_types"}


REREAD = ("reread", "")
"""Figure of the records that a graph left behind when its runner ended, and that were read again."""

LOST_DEAD_LETTERS = ("lost_dead_letters", "")
"""Figure of the dead letters of rejections that such a graph counted, and did not store: they come again, too."""


def count_read(batch: RecordBatch) -> StepCounts:
    """Return how many records, and bytes of them, a source handed over in one batch."""
    span = None if batch.offset_span is None else batch.offset_span[:2]
    tally = tally_read(batch.provenance, len(batch.records), span)
    counts = {("read", ""): len(batch.records), ("bytes", ""): batch.size}
    return StepCounts(counts, sources={batch.provenance.source: tally})


class Figures(msgspec.Struct, kw_only=True):
    """What became of the records of a run, or of one event type in it.

    read = accepted + duplicates + rejected, and accepted = loaded + load_rejected. `conflicting` are those duplicates
    whose content differs from that of the stored event; each becomes a dead letter, as rejected records do.
    `backfilled` are events of earlier, interrupted runs that this one loaded; they are in no other figure. `repaired`
    are malformed records that were repaired, and then accepted or counted as duplicates.
    """

    read: int
    accepted: int
    duplicates: int
    rejected: int
    loaded: int
    load_rejected: int
    backfilled: int
    segments: int
    repaired: int
    reconciled: bool
    conflicting: int = 0


class Report(Figures, kw_only=True):
    """A run report, as `--report` writes it. Times are RFC 3339 in UTC, `seconds` is wall time."""

    job: str
    run_id: str
    started: str
    seconds: float
    bytes: int
    records_per_second: float
    first_event_time: str | None
    last_event_time: str | None
    rejections: dict[str, int]
    """Reject code -> rejected records; each record counts once, under the code of its dead letter."""
    by_type: dict[str, Figures]
    """Event type -> figures; `unknown` has the records whose type cannot be read."""
    version: str = ""
    """Of Sluice."""
    ended: str = ""
    contracts: dict[str, str] = {}
    """Event type -> `<id>@<version>` of its contract."""
    reasons: dict[str, int] = {}
    """`<event type>.<path>: <code>` -> rejected records; one with several violations is in several of them."""
    unknown_properties: dict[str, int] = {}
    """`<event type>.<path>` of a property outside the contract -> accepted events that have it."""
    unknown_types: dict[str, int] = {}
    """Event type that no contract of the job has, in JSON, or `nothing` -> rejected records."""
    restarts: int = 0
    """How often the runner of a streaming run ended by itself and was started again."""
    reread: int = 0
    """Records that were read, not stored when the runner ended, and read again; they are in no other figure."""
    lost_at_source: dict[str, int] = {}
    """`<address of the source>/<partition>` -> records that the source deleted before they were read."""
    dead_letters_rejected: int = 0
    """Dead letters whose rows the warehouse rejected: they are in their log, but not in their table."""
    in_work: int = 0
    """Segments that `sluice load` left to a run, which may be loading them, and that it did not load."""
    sources: int = 0
    """Files, partitions or other sources that were read; the manifest, `source_files`, has a row for each."""
    changed_sources: int = 0
    """Those of them that are files, and that an earlier run read with another size or modification time."""
    failure: str | None = None
    """Why the run counts as failed although its counts reconcile; see `outcome.judge`."""
    warnings: list[str] = []
    """What somebody should look at, a line each."""
    timeline: list[Window] = []
    """All events that were loaded, in at most 240 windows; those without events are left out."""
    latest_windows: list[Window] = []
    """The last twelve of the windows in which the job counts events."""
    places: dict[str, str] = {}
    """Where the job file, the source and the results are: key of the job file -> address without secrets."""


def make_report(total: StepCounts, *, job: str, run_id: str, started: float, seconds: float) -> Report:
    """Return the report of a run from the sum of its step counts."""
    counts = Counter(total.counts)
    by_type = {name: _figures(counts, name) for name in _event_types(counts)}
    sums = _sums(counts)
    read = counts["read", ""]
    dead_letters_rejected = _of_dead_letters(counts, "load_rejected", "backfill_rejected")
    reconciled = (
        all(figures.reconciled for figures in by_type.values())
        and read == sum(figures.read for figures in by_type.values())
        and _adds_up(read, sums)
        and not dead_letters_rejected
        and dead_letter_gap(counts) == counts[LOST_DEAD_LETTERS]
        and add_up(total.sources.values(), (read, sums["accepted"], sums["duplicates"], sums["rejected"]))
    )
    return Report(
        job=job,
        run_id=run_id,
        started=_utc(started),
        ended=_utc(round(started + seconds, 6)),
        seconds=round(seconds, 3),
        read=read,
        **sums,
        reconciled=reconciled,
        reread=counts[REREAD],
        bytes=counts["bytes", ""],
        records_per_second=round(read / seconds, 1) if seconds > 0 else 0.0,
        first_event_time=None if total.first is None else _utc(total.first),
        last_event_time=None if total.last is None else _utc(total.last),
        rejections={code: number for (figure, code), number in sorted(counts.items()) if figure == "code"},
        by_type=by_type,
        **_named(counts),
        dead_letters_rejected=dead_letters_rejected,
        in_work=sum(number for (figure, _), number in counts.items() if figure == "in_work"),
        sources=len(total.sources),
        timeline=reported_windows(total.windows),
        latest_windows=reported_windows(total.latest),
    )


def _of_dead_letters(counts: Counter[tuple[str, str]], *figures: str) -> int:
    """Return the sum of some figures of dead letters and their redelivery entries."""
    return sum(counts[figure, name] for figure in figures for name in (DEAD_LETTER, REDELIVERY))


def _event_types(counts: Mapping[tuple[str, str], int]) -> list[str]:
    """Return the event types of the job that have records."""
    return sorted({name for figure, name in counts if figure == "routed"} - INTERNAL_TYPES)


def dead_letter_gap(counts: Counter[tuple[str, str]]) -> int:
    """Return how many dead letters the counts require beyond those that were stored."""
    sums = _sums(counts)
    stored = sum(
        counts[figure, name] for figure in ("accepted", "duplicates") for name in (DEAD_LETTER, QUARANTINE)
    )
    backfill_rejected = sum(
        number
        for (figure, name), number in counts.items()
        if figure == "backfill_rejected" and name not in INTERNAL_TYPES
    )
    required = sums["rejected"] + sums["conflicting"] + sums["load_rejected"] + backfill_rejected
    return int(required - stored)


def _sums(counts: Mapping[tuple[str, str], int]) -> dict[str, Any]:
    """Return each figure, summed over the types of events."""
    return {
        figure: sum(
            number
            for (counted, name), number in counts.items()
            if counted == figure and name not in INTERNAL_TYPES
        )
        for figure in _FIGURES
    }


def _named(counts: Mapping[tuple[str, str], int]) -> dict[str, Any]:
    """Return what is counted by names, by field of the report: the most frequent name first and the others last."""
    ordered = sorted(counts.items(), key=lambda item: (item[0][1] == OTHER_NAMES, -item[1], item[0][1]))
    named: dict[str, Any] = {field: {} for field in _NAMED.values()}
    for (figure, name), number in ordered:
        if figure in _NAMED:
            named[_NAMED[figure]][name] = number
    return named


def _figures(counts: Mapping[tuple[str, str], int], event_type: str) -> Figures:
    figures = {figure: counts.get((figure, event_type), 0) for figure in _FIGURES}
    read = counts["routed", event_type]
    return Figures(read=read, **figures, reconciled=_adds_up(read, figures))


def _adds_up(read: int, figures: Mapping[str, int]) -> bool:
    return (
        read == figures["accepted"] + figures["duplicates"] + figures["rejected"]
        and figures["accepted"] == figures["loaded"] + figures["load_rejected"]
    )


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


@dataclass(eq=False)  # Beam sets the label of a transform
class ReconcileLedger(beam.PTransform):
    """StepCounts of all steps -> their sum, written below `url` for the launcher; that of a streaming run in parts."""

    url: str
    windowing: Windowing
    numbered: bool
    """Panes have numbers of their own. On Prism two may have the same: it counts on while the first is in work."""

    def expand(self, step_counts: beam.PCollection[StepCounts]) -> beam.PCollection[StepCounts]:
        """Sum and write."""
        return (
            step_counts
            | "Window for all time" >> self.windowing.overall()
            | "Sum step counts" >> beam.CombineGlobally(SumStepCounts()).without_defaults()
            | "Write totals" >> beam.ParDo(_WritePane(self.url, self.windowing.live, self.numbered))
        )


class _WritePane(beam.DoFn):
    """Writes one pane, and once an hour compacts what was written before."""

    def __init__(self, url: str, live: bool, numbered: bool, clock: Clock = system_clock) -> None:
        self._url, self._live, self._numbered, self._clock = url, live, numbered, clock
        self._compact_at = 0.0

    def process(self, total: StepCounts, pane: Any = beam.DoFn.PaneInfoParam) -> Iterator[StepCounts]:
        """Write a pane; that of bounded input has number 0, so that a runner's second attempt replaces the first."""
        number = pane.index if self._numbered and pane.timing != PaneInfoTiming.UNKNOWN else None
        write_totals(total, self._url, number if self._live else 0, self._clock)
        if self._live and self._clock() >= self._compact_at:
            self._compact()
        yield total

    def _compact(self) -> None:
        now = self._clock()
        try:
            compact_totals(self._url, now)
        except StorageError as error:  # what was not compacted is read part by part
            _LOGGER.warning("the totals are compacted an hour later: %s", error)
        self._compact_at = next_compaction(now)


def agree(some: StepCounts, others: StepCounts) -> bool:
    """Return whether two sums are of the same step counts; names from the data are summed up in any order."""

    def numbers(total: StepCounts) -> tuple[Any, ...]:
        counts = {key: n for key, n in total.counts.items() if n and key[0] not in NAMED_FIGURES}
        return counts, total.first, total.last, total.sources

    return numbers(some) == numbers(others)


def read_report(*urls: str) -> Report:
    """Return the report of a submitted run so far. Its counts reconcile when no record is between two steps.

    A job that was updated in place has several folders, the first one first. Dataflow keeps the state of its steps:
    panes of the later folder continue the numbers of the earlier one, and one that both have counts once.

    Raises:
        StorageError: there are no totals, or they cannot be read.

    """
    run = read_submission(urls[0])
    total, written = read_folders(*urls)
    seconds = 0.0 if written is None else written - run.started
    report = make_report(total, job=run.job, run_id=run.run_id, started=run.started, seconds=seconds)
    report.version, report.contracts, report.places = run.version, run.contracts, run.places
    return report
