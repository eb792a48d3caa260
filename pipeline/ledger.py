"""The ledger: totals from every step, and whether they add up.

Each figure comes from the step that did the work: what the source read, what decode decided, what the logs
stored, what the warehouse acknowledged. A record lost between two steps therefore unbalances the books.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import apache_beam as beam
import msgspec

from pipeline.elements import DEAD_LETTER, OWN_TYPES, UNPARSABLE, RecordBatch, Tally, add_tallies
from pipeline.panes import Panes
from pipeline.storage import open_store

_FIGURES = ("accepted", "repeated", "rejected", "loaded", "refused", "recovered", "segments", "salvaged")


def count_read(batch: RecordBatch) -> Tally:
    """Return how many records, and bytes of them, a source handed over in one batch."""
    return Tally({("read", ""): len(batch.records), ("bytes", ""): sum(map(len, batch.records))})


class Figures(msgspec.Struct, kw_only=True):
    """What became of the records of a run, or of one event type in it.

    read = accepted + repeated + rejected, and accepted = loaded + refused. `recovered` are events of earlier,
    interrupted runs that this one loaded; they are in no other figure. `salvaged` are damaged records that were
    mended and then accepted or found to be repeats.
    """

    read: int
    accepted: int
    repeated: int
    rejected: int
    loaded: int
    refused: int
    recovered: int
    segments: int
    salvaged: int
    balanced: bool


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


def make_report(total: Tally, *, job: str, run_id: str, started: float, seconds: float) -> Report:
    """Return the report of a run from the sum of its tallies."""
    counts = Counter(total.counts)
    types = sorted({name for figure, name in counts if figure == "routed"})
    by_type = {name: _figures(counts, name) for name in types if name not in OWN_TYPES}
    sums = {
        figure: sum(
            number for (each, name), number in counts.items() if each == figure and name not in OWN_TYPES
        )
        for figure in _FIGURES
    }
    read = counts["read", ""]
    letters = sum(
        counts[figure, name] for figure in ("accepted", "repeated") for name in (DEAD_LETTER, UNPARSABLE)
    )
    resent = sum(number for (figure, _), number in counts.items() if figure == "resent")
    balanced = (
        all(each.balanced for each in by_type.values())
        and read == sum(each.read for each in by_type.values())
        and _adds_up(read, sums)
        and letters == sums["rejected"] + sums["refused"] + resent
    )
    return Report(
        job=job,
        run_id=run_id,
        started=_utc(started),
        seconds=round(seconds, 3),
        read=read,
        **sums,
        balanced=balanced,
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
    return Figures(read=read, **figures, balanced=_adds_up(read, figures))


def _adds_up(read: int, figures: Mapping[str, int]) -> bool:
    return (
        read == figures["accepted"] + figures["repeated"] + figures["rejected"]
        and figures["accepted"] == figures["loaded"] + figures["refused"]
    )


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


@dataclass(eq=False)  # Beam sets the label of a transform
class BalanceLedger(beam.PTransform):
    """Tallies of all steps -> their sum below `url`, for the launcher to report on; a live run's in parts."""

    url: str
    panes: Panes

    def expand(self, tallies: beam.PCollection[Tally]) -> beam.PCollection[Tally]:
        """Sum and write."""
        return (
            tallies
            | "Take parts" >> self.panes.overall()
            | "Sum tallies" >> beam.CombineGlobally(add_tallies).without_defaults()
            | "Write totals" >> beam.Map(write_totals, self.url)
        )


def write_totals(total: Tally, url: str) -> Tally:
    """Store a part of a run's totals where the launcher looks for it, and hand it on."""
    flat = [(figure, name, number) for (figure, name), number in total.counts.items()]
    open_store(url).create(f"{uuid.uuid4().hex}.json", msgspec.json.encode((flat, total.first, total.last)))
    return total


def read_totals(url: str) -> Tally:
    """Return the sum of all that `write_totals` stored."""
    store = open_store(url)
    return add_tallies(_read_part(store.read(path)) for path in store.walk())


def _read_part(stored: bytes) -> Tally:
    flat, first, last = msgspec.json.decode(
        stored, type=tuple[list[tuple[str, str, int]], float | None, float | None]
    )
    return Tally({(figure, name): number for figure, name, number in flat}, first, last)
