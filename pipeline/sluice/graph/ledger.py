"""The ledger: the counts of every step, and whether they reconcile.

Each figure comes from the step that did the work: what the source read, what decode decided, what the logs
stored, what the warehouse loaded. If a record is lost between two steps, the counts do not reconcile.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import apache_beam as beam
import msgspec
from apache_beam.utils.windowed_value import PaneInfoTiming

from sluice.elements import (
    DEAD_LETTER,
    INTERNAL_TYPES,
    NAMED_FIGURES,
    OTHER_NAMES,
    QUARANTINE,
    RecordBatch,
    StepCounts,
    add_step_counts,
)
from sluice.errors import StorageError
from sluice.graph.report_windows import Window, reported_windows
from sluice.graph.step_counts import SumStepCounts
from sluice.graph.submission import SUBMISSION, read_submission
from sluice.graph.windowing import Windowing
from sluice.provenance import Source
from sluice.source_tallies import SourceTally, add_up, tally_read
from sluice.storage import open_store
from sluice.timeline import WindowEvents

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
    dead_letters_rejected = counts["load_rejected", DEAD_LETTER] + counts["backfill_rejected", DEAD_LETTER]
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
            | "Write totals" >> beam.Map(_write_pane, self.url, self.windowing.live, self.numbered)
        )


class _Part(msgspec.Struct, array_like=True):
    """What one pane adds to the totals."""

    flat: list[tuple[str, str, int]]
    first: float | None
    last: float | None
    pane: int | None
    sources: list[tuple[str, int | None, SourceTally]] = []
    windows: list[WindowEvents] = []
    latest: list[WindowEvents] = []

    def step_counts(self) -> StepCounts:
        counts = {(figure, name): number for figure, name, number in self.flat}
        sources = {Source(uri, partition): tally for uri, partition, tally in self.sources}
        return StepCounts(counts, self.first, self.last, self.windows, sources, self.latest)


_READERS = 16
"""Parts that are read at once: one takes some 30 ms in Cloud Storage, and a streaming job writes 8,640 a day."""

_OPENED, _COUNTED = "opened.json", "counted.json"


def write_counted(total: StepCounts, url: str) -> None:
    """Write what the steps of a run counted in the launcher's process beside the parts of the ledger."""
    open_store(url).create(_COUNTED, _encode(total, None))


def _encode(total: StepCounts, pane: int | None) -> bytes:
    flat = [(figure, name, number) for (figure, name), number in total.counts.items()]
    sources = [(*source, tally) for source, tally in total.sources.items()]
    part = flat, total.first, total.last, pane
    windows = (total.windows, total.latest) if total.windows else ()
    return msgspec.json.encode((*part, sources, *windows) if sources or windows else part)


def _write_pane(
    total: StepCounts, url: str, live: bool, numbered: bool, pane: Any = beam.DoFn.PaneInfoParam
) -> StepCounts:
    """Write one pane. That of bounded input has number 0, so that a runner's second attempt replaces the first."""
    number = pane.index if numbered and pane.timing != PaneInfoTiming.UNKNOWN else None
    write_totals(total, url, number if live else 0)
    return total


def open_totals(url: str) -> None:
    """Mark the folder of a run's totals, so that `check_totals` can tell it from one that was deleted meanwhile."""
    open_store(url).create(_OPENED, b"{}\n")


def check_totals(url: str) -> None:
    """Check that the folder of the totals is the one that `open_totals` has marked.

    Raises:
        StorageError: it was deleted while the run lasted, and the totals of finished work may be gone with it.

    """
    store = open_store(url)
    if _OPENED not in store.list(""):
        message = (
            f"{store.url('')}: expected the totals of this run, got none: the folder was deleted while the run "
            "lasted; what was stored stays valid: run again"
        )
        raise StorageError(message)


def write_totals(total: StepCounts, url: str, pane: int | None = None) -> None:
    """Store a part of a run's totals where the launcher looks for it; `pane` is its number, if the runner gives one.

    The file name begins with the time. A pane is written by one worker at a time, so names are in the order of
    writing, as long as the clocks of two workers differ by less than it takes the runner to replace one by the other.
    """
    open_store(url).create(f"{time.time_ns():020d}-{uuid.uuid4().hex}.json", _encode(total, pane))


def agree(some: StepCounts, others: StepCounts) -> bool:
    """Return whether two sums are of the same step counts; names from the data are summed up in any order."""

    def numbers(total: StepCounts) -> tuple[Any, ...]:
        counts = {key: n for key, n in total.counts.items() if n and key[0] not in NAMED_FIGURES}
        return counts, total.first, total.last, total.sources

    return numbers(some) == numbers(others)


def read_totals(url: str) -> StepCounts:
    """Return the sum of all that `write_totals` stored and that still counts.

    A runner that recovers goes back to a checkpoint and counts on from there: a pane that is written again replaces
    the earlier one and all with a higher number that were written before. A pane that is written late for the first
    time does not: Prism writes panes that are ready at the same time in any order.
    """
    return _add_parts(part for _, part in _read_parts(url))


def _read_parts(url: str) -> Iterator[tuple[float, _Part]]:
    """Yield when each part was written, in epoch seconds, and the part; in the order of writing."""
    store = open_store(url)
    paths = sorted(path for path in store.walk() if path not in (SUBMISSION, _OPENED, _COUNTED))
    with ThreadPoolExecutor(_READERS) as readers:
        for path, content in zip(paths, readers.map(store.read, paths), strict=True):
            yield int(path.partition("-")[0]) / 1e9, msgspec.json.decode(content, type=_Part)


def _add_parts(parts: Iterable[_Part]) -> StepCounts:
    panes: dict[int, _Part] = {}
    others: list[_Part] = []
    for part in parts:
        if part.pane is None:
            others.append(part)
            continue
        if part.pane in panes:
            panes = {number: earlier for number, earlier in panes.items() if number < part.pane}
        panes[part.pane] = part
    return add_step_counts(part.step_counts() for part in (*others, *panes.values()))


def read_report(*urls: str) -> Report:
    """Return the report of a submitted run so far. Its counts reconcile when no record is between two steps.

    A job that was updated in place has several folders, the first one first. Dataflow keeps the state of its steps:
    panes of the later folder continue the numbers of the earlier one, and one that both have counts once.

    Raises:
        StorageError: there are no totals, or they cannot be read.

    """
    run = read_submission(urls[0])
    parts = sorted((part for url in urls for part in _read_parts(url)), key=lambda part: part[0])
    until = parts[-1][0] if parts else run.started
    total = _add_parts(part for _, part in parts)
    report = make_report(
        total, job=run.job, run_id=run.run_id, started=run.started, seconds=until - run.started
    )
    report.version, report.contracts, report.places = run.version, run.contracts, run.places
    return report
