"""The page of a streaming run: its figures as they are now, for people, beside /metrics for machines."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple

from jinja2 import Environment
from markupsafe import Markup

from sluice.clock import Clock, window_time
from sluice.config.job import Job
from sluice.errors import REJECT_CODES
from sluice.run_state import RunState
from sluice.telemetry import figure_sums
from sluice.tooling.pages.rendering import csp_source, page_asset, page_templates

_SAMPLE_SECONDS = 1.0
_SAMPLES = 601
"""Ten minutes."""

_RATE_SECONDS = 10.0
"""Over which the rates of the page are averaged."""

_STEP_SECONDS = 5.0
"""What one point of the chart covers."""

_WINDOWS = 12
_MOST_TYPES = 8
"""Columns of the table of windows; further types are added up in the last one."""

_MOST_MESSAGES = 10
_OTHERS = "(others)"
_CHART_WIDTH, _CHART_HEIGHT = 600, 120


class Sample(NamedTuple):
    """What a run had read at one time of the monotonic clock, in seconds."""

    at: float
    read: int
    rejected: int


class Messages(logging.Handler):
    """Keeps the latest warnings of a run, such as a load that is tried again, with the time of each."""

    def __init__(self) -> None:
        """Begin with none."""
        super().__init__(logging.WARNING)
        self._lines: deque[tuple[str, str]] = deque(maxlen=_MOST_MESSAGES)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what the log of the command prints as well; it holds no secrets."""
        at = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        self._lines.append((at, record.getMessage()))

    def latest(self) -> Sequence[tuple[str, str]]:
        """Return time and text of each, the latest first."""
        return list(self._lines)[::-1]


@dataclass(frozen=True, slots=True)
class TypeFigures:
    """What became of the records of one event type so far."""

    event_type: str
    accepted: int
    duplicates: int
    rejected: int
    loaded: int


@dataclass(frozen=True, slots=True)
class WindowTable:
    """Loaded events of the latest windows, newest first: the names of the columns, and start, end, events of each."""

    event_types: Sequence[str]
    rows: Sequence[tuple[str, str, Sequence[int]]]


class Dashboard:
    """Renders the page of one run; `sample` is to be called about twice a second while the run lasts."""

    def __init__(
        self,
        job: Job,
        run: RunState,
        stalls: Callable[[], Sequence[str]],
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Render the run of `job`; `stalls` tells what of it makes no progress, a line each."""
        self._job, self._run, self._stalls = job, run, stalls
        self._clock, self._monotonic = clock, monotonic
        self._lock = threading.Lock()
        self._samples: deque[Sample] = deque(maxlen=_SAMPLES)
        self.messages = Messages()
        self.sample()

    def sample(self) -> None:
        """Note what was read so far, at most once a second."""
        now = self._monotonic()
        with self._lock:
            if self._samples and now - self._samples[-1].at < _SAMPLE_SECONDS:
                return
            sums = figure_sums(self._run.totals.counts())
            self._samples.append(Sample(now, sums["read"], sums["rejected"]))

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Keep the warnings of the run while the block lasts."""
        logger = logging.getLogger("sluice")
        logger.addHandler(self.messages)
        try:
            yield
        finally:
            logger.removeHandler(self.messages)

    def page(self) -> str:
        """Return the whole page, in HTML; its script asks for `figures` again and again."""
        return _templates().get_template("dashboard.html").render(**self._context(), **_assets())

    def figures(self) -> str:
        """Return the part of the page that changes."""
        return _templates().get_template("figures.html").render(**self._context())

    @staticmethod
    def security_policy() -> str:
        """Return the header that keeps the page from loading, sending or running anything but its own parts."""
        style, script = map(csp_source, _assets().values())
        return (
            f"default-src 'none'; style-src '{style}'; script-src '{script}'; connect-src 'self'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )

    def _context(self) -> dict[str, Any]:
        run, job = self._run, self._job
        counts = run.totals.counts()
        loaded_until = run.totals.loaded_until()
        with self._lock:
            samples = list(self._samples)
        return {
            "name": job.name,
            "stalls": self._stalls(),
            "draining": run.draining.is_set(),
            "over_limit": run.over_limit.is_set(),
            "now": datetime.fromtimestamp(self._clock(), UTC).strftime("%Y-%m-%d %H:%M:%S"),
            "rates": rates(samples),
            "totals": figure_sums(counts),
            "outstanding": run.acks.outstanding(),
            "backlog": run.backlog.total(),
            "silent": run.backlog.silent(),
            "idle": run.activity.idle(),
            "behind": None if loaded_until is None else max(self._clock() - loaded_until, 0),
            "restarts": run.restarts,
            "chart": Chart(samples),
            "windows": window_table(run.totals.windows(_WINDOWS)),
            "types": type_figures(counts),
            "codes": [
                (code, number, REJECT_CODES.get(code, ""))
                for (figure, code), number in counts.most_common()
                if figure == "code"
            ],
            "messages": self.messages.latest(),
            "places": [
                ("source", str(job.source)),
                ("event log", str(job.files)),
                ("warehouse", str(job.warehouse)),
                ("dead letters", str(job.dead_letters)),
            ],
        }


def rates(samples: Sequence[Sample]) -> tuple[float, float]:
    """Return how many records a second were read and rejected over the last ten seconds."""
    last = samples[-1]
    first = next(sample for sample in samples if last.at - sample.at <= _RATE_SECONDS)
    seconds = max(last.at - first.at, _SAMPLE_SECONDS)
    return (last.read - first.read) / seconds, (last.rejected - first.rejected) / seconds


class Chart:
    """The rate of reading over the last ten minutes, as the points of a line."""

    width, height = _CHART_WIDTH, _CHART_HEIGHT

    def __init__(self, samples: Sequence[Sample]) -> None:
        """Draw `samples`, at least one, in the order of their times."""
        steps = [samples[0]]
        for sample in samples:
            if sample.at - steps[-1].at >= _STEP_SECONDS:
                steps.append(sample)
        end = samples[-1].at
        line = [
            (after.at - end, (after.read - before.read) / (after.at - before.at))
            for before, after in zip(steps, steps[1:], strict=False)
        ]
        self.highest = max((rate for _, rate in line), default=0.0)
        """Records a second."""
        span = _SAMPLE_SECONDS * (_SAMPLES - 1)
        self.points = " ".join(
            f"{_CHART_WIDTH * (1 + at / span):.1f},{_CHART_HEIGHT * (1 - rate / (self.highest or 1)):.1f}"
            for at, rate in line
        )


def window_table(windows: Sequence[tuple[int, int, Counter[str]]]) -> WindowTable:
    """Return the table of windows (start and end in microseconds, events by type), which come oldest first."""
    total: Counter[str] = Counter()
    for _, _, events in windows:
        total.update(events)
    names = [name for name, _ in total.most_common(_MOST_TYPES)]
    rows = []
    for start, end, events in reversed(windows):
        numbers = [events[name] for name in names]
        if len(total) > _MOST_TYPES:
            numbers.append(events.total() - sum(numbers))
        rows.append((f"{window_time(start):%H:%M:%S}", f"{window_time(end):%H:%M:%S}", numbers))
    return WindowTable([*names, *([_OTHERS] if len(total) > _MOST_TYPES else [])], rows)


def type_figures(counts: Counter[tuple[str, str]]) -> list[TypeFigures]:
    """Return the figures of each event type that any record had, the most frequent first."""
    figures = ("accepted", "duplicates", "rejected", "loaded")
    names = {name for figure, name in counts if figure in figures}
    rows = [TypeFigures(name, *(counts[figure, name] for figure in figures)) for name in names]
    return sorted(rows, key=lambda row: (-row.accepted - row.duplicates - row.rejected, row.event_type))


@cache
def _templates() -> Environment:
    return page_templates("sluice.runtime")


@cache
def _assets() -> Mapping[str, Markup]:
    return {name: page_asset(_templates(), f"dashboard.{name}") for name in ("css", "js")}
