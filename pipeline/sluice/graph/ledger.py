"""The ledger: totals from every step, and whether they add up.

Each figure comes from the step that did the work: what the source read, what decode decided, what the logs
stored, what the warehouse acknowledged. A record lost between two steps therefore unbalances the books.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import apache_beam as beam
import msgspec
from apache_beam.utils.windowed_value import PaneInfoTiming

from sluice.elements import DEAD_LETTER, INTERNAL_TYPES, QUARANTINE, RecordBatch, StepCounts, add_step_counts
from sluice.graph.windowing import Windowing
from sluice.storage import open_store

_FIGURES = (
    "accepted",
    "duplicates",
    "rejected",
    "loaded",
    "load_rejected",
    "backfilled",
    "segments",
    "repaired",
)


def count_read(batch: RecordBatch) -> StepCounts:
    """Return how many records, and bytes of them, a source handed over in one batch."""
    return StepCounts({("read", ""): len(batch.records), ("bytes", ""): batch.size})


class Figures(msgspec.Struct, kw_only=True):
    """What became of the records of a run, or of one event type in it.

    read = accepted + duplicates + rejected, and accepted = loaded + load_rejected. `recovered` are events of earlier,
    interrupted runs that this one loaded; they are in no other figure. `salvaged` are damaged records that were
    mended and then accepted or found to be repeats.
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
    """Reject code -> rejected records; each record counts once, under the code of its letter."""
    by_type: dict[str, Figures]
    """Event type -> figures; `unknown` holds records whose type could not be told."""


def make_report(total: StepCounts, *, job: str, run_id: str, started: float, seconds: float) -> Report:
    """Return the report of a run from the sum of its tallies."""
    counts = Counter(total.counts)
    types = sorted({name for figure, name in counts if figure == "routed"})
    by_type = {name: _figures(counts, name) for name in types if name not in INTERNAL_TYPES}
    sums = {
        figure: sum(
            number for (each, name), number in counts.items() if each == figure and name not in INTERNAL_TYPES
        )
        for figure in _FIGURES
    }
    read = counts["read", ""]
    letters = sum(
        counts[figure, name] for figure in ("accepted", "duplicates") for name in (DEAD_LETTER, QUARANTINE)
    )
    backfill_rejected = sum(number for (figure, _), number in counts.items() if figure == "backfill_rejected")
    reconciled = (
        all(each.reconciled for each in by_type.values())
        and read == sum(each.read for each in by_type.values())
        and _adds_up(read, sums)
        and letters == sums["rejected"] + sums["load_rejected"] + backfill_rejected
    )
    return Report(
        job=job,
        run_id=run_id,
        started=_utc(started),
        seconds=round(seconds, 3),
        read=read,
        **sums,
        reconciled=reconciled,
        bytes=counts["bytes", ""],
        records_per_second=round(read / seconds, 1) if seconds > 0 else 0.0,
        first_event_time=None if total.first is None else _utc(total.first),
        last_event_time=None if total.last is None else _utc(total.last),
        rejections={code: number for (figure, code), number in sorted(counts.items()) if figure == "code"},
        by_type=by_type,
    )


def _figures(counts: Mapping[tuple[str, str], int], event_type: str) -> Figures:
    figures = {figure: counts.get((figure, event_type), 0) for figure in _FIGURES}
    read = counts.get(("routed", event_type), 0)
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
    """Tallies of all steps -> their sum below `url`, for the launcher to report on; a live run's in parts."""

    url: str
    windowing: Windowing

    def expand(self, tallies: beam.PCollection[StepCounts]) -> beam.PCollection[StepCounts]:
        """Sum and write."""
        return (
            tallies
            | "Take parts" >> self.windowing.overall()
            | "Sum tallies" >> beam.CombineGlobally(add_step_counts).without_defaults()
            | "Write totals" >> beam.Map(_write_pane, self.url, self.windowing.live)
        )


class _Part(msgspec.Struct, array_like=True):
    """What a pane brought to the totals."""

    flat: list[tuple[str, str, int]]
    first: float | None
    last: float | None
    pane: int | None

    def tally(self) -> StepCounts:
        return StepCounts(
            {(figure, name): number for figure, name, number in self.flat}, self.first, self.last
        )


class _Submission(msgspec.Struct):
    """What a submitted run leaves beside its totals, so that they can be reported on."""

    job: str
    run_id: str
    started: float


_SUBMISSION = "run.json"


def _write_pane(total: StepCounts, url: str, live: bool, pane: Any = beam.DoFn.PaneInfoParam) -> StepCounts:
    """Write; the one pane of bounded input is number 0, so that a runner that tries again does not add to it."""
    told = pane.index if pane.timing != PaneInfoTiming.UNKNOWN else None
    write_totals(total, url, told if live else 0)
    return total


def write_totals(total: StepCounts, url: str, pane: int | None = None) -> None:
    """Store a part of a run's totals where the launcher looks for it; `pane` is its number, where runners tell it.

    The name tells the time. A pane is written by one worker at a time, so names are in the order of writing, as
    long as the clocks of two workers differ by less than it takes the runner to replace one by the other.
    """
    flat = [(figure, name, number) for (figure, name), number in total.counts.items()]
    stored = msgspec.json.encode(_Part(flat, total.first, total.last, pane))
    open_store(url).create(f"{time.time_ns():020d}-{uuid.uuid4().hex}.json", stored)


def read_totals(url: str) -> StepCounts:
    """Return the sum of all that `write_totals` stored and that still counts.

    A runner that recovers goes back to a checkpoint and counts on from there: a pane that is written again makes
    void all from that pane on that were written before. One that only comes late does not: Prism writes panes that
    were ready at the same time in any order.
    """
    return _add_parts(part for _, part in _read_parts(url))


def _read_parts(url: str) -> Iterator[tuple[float, _Part]]:
    """Yield when each part was written, in epoch seconds, and the part; in the order of writing."""
    store = open_store(url)
    for path in sorted(path for path in store.walk() if path != _SUBMISSION):
        yield int(path.partition("-")[0]) / 1e9, msgspec.json.decode(store.read(path), type=_Part)


def _add_parts(parts: Iterable[_Part]) -> StepCounts:
    panes: dict[int, _Part] = {}
    others: list[_Part] = []
    for part in parts:
        if part.pane is None:
            others.append(part)
            continue
        if part.pane in panes:
            panes = {number: each for number, each in panes.items() if number < part.pane}
        panes[part.pane] = part
    return add_step_counts(part.tally() for part in (*others, *panes.values()))


def write_submission(url: str, *, job: str, run_id: str, started: float) -> None:
    """Leave, beside the totals of a run that is submitted, what `read_report` needs."""
    open_store(url).create(_SUBMISSION, msgspec.json.encode(_Submission(job, run_id, started)))


def read_report(url: str) -> Report:
    """Return the report of a submitted run so far. It balances when nothing is on its way.

    Raises:
        StorageError: there are no totals, or they cannot be read.

    """
    run = msgspec.json.decode(open_store(url).read(_SUBMISSION), type=_Submission)
    parts = list(_read_parts(url))
    until = parts[-1][0] if parts else run.started
    total = _add_parts(part for _, part in parts)
    return make_report(
        total, job=run.job, run_id=run.run_id, started=run.started, seconds=until - run.started
    )
