"""Judges each day of a daily series by the days before it alone.

Logarithms of values are compared, since amounts and counts vary by a share of their size. A day is usual if it lies
near level plus weekday effect. The level is the mean of the middle half of the last three weeks without weekday
effects; a weekday effect is the mean of the middle half of that weekday's last ten distances from the level; the usual
spread is the 80th percentile of the last 120 distances from what was expected, divided by that of a normal
distribution. All three take only days that were judged usual, so a fault never enters them.

Days 1 to 42 are learned from and not judged. The verdict on a day never changes when later days arrive.
docs/adr/0100-a-day-is-judged-by-earlier-days.md says how the constants were chosen.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from statistics import median

LEARNING_DAYS = 42
"""Six weeks: each weekday has then been seen six times."""

_LEAST_LEARNED = 7
"""A series begins with the first day of 42 that have at least so many values."""

WEEK = 7
_LEVEL_DAYS = 21
_WEEKDAY_VALUES = 10
_SPREAD_DAYS = 120
_LIMIT = 3.6
"""Spreads from the expected value that are usual; about 1 of 3,000 usual days is further away."""

_SMALLEST_LIMIT = 0.2
"""Usual in any case, as a logarithm: -18 % to +22 %. The turn of a month is 8 % above other days."""

_EXTRA_OF_FEW = 6.0
"""A spread of n days is uncertain: the limit is wider by this divided by n, as a share."""

_POISSON_LIMIT = 3.4
_SMALLEST_SHARE = 0.01
"""Added to values before the logarithm, as a share of the median while learning: zero has no logarithm."""

_NORMAL_80 = 1.2816
"""The 80th percentile of the distance from the mean in a normal distribution of spread 1 (90 % are below it)."""

_NEW_LEVEL_DAYS = 14
_LOWEST_NEW_LEVEL = 0.1
_MOST_BESIDE_NEW_LEVEL = 3

_NEW_EFFECT_WEEKS = 6
_MOST_BESIDE_NEW_EFFECT = 1


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement of a day: usual if `kind` is None, else high, low or missing.

    `severity` is the distance from the expected value in limits: above 1 is unusual.
    """

    day: date
    kind: str | None
    observed: float | None
    expected: float
    low: float
    high: float
    severity: float


def judge_series(values: Sequence[tuple[date, float]], *, is_count: bool = False) -> list[Verdict]:
    """Return the verdicts on the days of a series after its first 42 days, in order, days without a value included.

    Args:
        values: days, each at most once and in order, and their values; negative values count as zero.
        is_count: values are numbers of things, which vary by chance the more the fewer they are.

    """
    values = _without_strays(values)
    if not values:
        return []
    first = values[0][0]
    dense: list[float | None] = [None] * ((values[-1][0] - first).days + 1)
    for day, value in values:
        dense[(day - first).days] = value
    model = _Model(dense[:LEARNING_DAYS], is_count=is_count)
    verdicts = (model.judge(number, dense[number]) for number in range(LEARNING_DAYS, len(dense)))
    return [
        Verdict(first + timedelta(days=LEARNING_DAYS + number), *judged)
        for number, judged in enumerate(verdicts)
        if judged is not None
    ]


def _without_strays(values: Sequence[tuple[date, float]]) -> Sequence[tuple[date, float]]:
    """Leave out first days that hardly any day follows, such as a sale with a mistyped year."""
    days = [day for day, _ in values]
    learning = timedelta(days=LEARNING_DAYS)
    start = 0
    while start < len(days) and bisect_left(days, days[start] + learning) - start < _LEAST_LEARNED:
        start += 1
    return values[start:]


_Judged = tuple[str | None, float | None, float, float, float, float]
"""What a verdict has besides its day."""


@dataclass(slots=True)
class _Range:
    """What is expected of a day."""

    weekday: int
    level: float
    effect: float
    limit: float
    expected: float
    low: float
    high: float


@dataclass(slots=True)
class _Streak:
    """Unusual days without a usual one between them, all high or all low: (weekday, logarithm of the value)."""

    kind: str = ""
    days: list[tuple[int, float]] = field(default_factory=list)


class _Model:
    """What was usual so far: levels, weekday effects and distances, of days that were judged usual."""

    def __init__(self, learned: Sequence[float | None], *, is_count: bool) -> None:
        present = [max(value, 0.0) for value in learned if value is not None]
        self._offset = max(_SMALLEST_SHARE * median(present or [0.0]), 0.5 if is_count else 1e-9)
        self._is_count = is_count
        self._levels: list[float] = []
        self._effects: list[list[float]] = [[] for _ in range(WEEK)]
        self._distances: list[float] = []
        self._streak = _Streak()
        self._unusual: list[list[float]] = [[] for _ in range(WEEK)]
        """Weekday -> distances from the level of its last days, all of them unusual, without a usual one between."""
        self._learn(learned)

    def _log(self, value: float) -> float:
        return math.log(max(value, 0.0) + self._offset)

    def _learn(self, values: Sequence[float | None]) -> None:
        """Take the usual ones of the first days; unlike later ones they are judged with the days after them."""
        logs = [None if value is None else self._log(value) for value in values]
        weeks = [_present(logs[at : at + WEEK]) for at in range(0, len(logs), WEEK)]
        weekly = [median(week) if week else 0.0 for week in weeks]
        effects = []
        for weekday in range(WEEK):
            column = [log - weekly[at] for at, log in enumerate(logs[weekday::WEEK]) if log is not None]
            effects.append(_middle_mean(column) if column else 0.0)
        flat = [None if log is None else log - effects[at % WEEK] for at, log in enumerate(logs)]
        around = [_present(flat[max(0, at - WEEK) : at + WEEK + 1]) for at in range(len(flat))]
        levels = [_middle_mean(window) if window else 0.0 for window in around]
        distances = [None if log is None else abs(log - levels[at]) for at, log in enumerate(flat)]
        limit = max(_SMALLEST_LIMIT, _LIMIT * _spread(_present(distances)))
        for at, log in enumerate(logs):
            distance = distances[at]
            if log is not None and distance is not None and distance <= limit:
                self._add(at % WEEK, log, levels[at], effects[at % WEEK], distance)

    def _add(self, weekday: int, log: float, level: float, effect: float, distance: float) -> None:
        self._effects[weekday].append(log - level)
        self._levels.append(log - effect)
        self._distances.append(distance)

    def _usual(self, weekday: int) -> _Range | None:
        """Return what is expected of a weekday; None if it has hardly been seen."""
        effects = self._effects[weekday][-_WEEKDAY_VALUES:]
        if len(effects) < 2:  # noqa: PLR2004  of a single value one cannot know whether it is usual
            return None
        level, effect = _middle_mean(self._levels[-_LEVEL_DAYS:]), _middle_mean(effects)
        distances = self._distances[-_SPREAD_DAYS:]
        limit = max(_SMALLEST_LIMIT, _LIMIT * _spread(distances) * (1 + _EXTRA_OF_FEW / len(distances)))
        expected, low, high = (
            math.exp(level + effect + distance) - self._offset for distance in (0.0, -limit, limit)
        )
        if self._is_count:
            chance = _POISSON_LIMIT * math.sqrt(max(expected, 0.0) + 0.5)
            low, high = min(low, expected - chance), max(high, expected + chance + 1)
        return _Range(weekday, level, effect, limit, max(expected, 0.0), max(low, 0.0), high)

    def judge(self, number: int, value: float | None) -> _Judged | None:
        """Return the verdict on a day, and learn from it if it is usual; None if nothing is known of its weekday."""
        usual = self._usual(number % WEEK)
        if usual is None:
            self._learn_unknown(number % WEEK, value)
            return None if value is not None else ("missing", None, 0.0, 0.0, 0.0, 1.0)
        log, centre = self._log(value or 0.0), usual.level + usual.effect
        severity = abs(log - centre) / usual.limit
        if value is None:
            return "missing", None, usual.expected, usual.low, usual.high, max(severity, 1.0)
        kind = "low" if value < usual.low else "high" if value > usual.high else None
        if kind is None:
            self._add(usual.weekday, log, usual.level, usual.effect, abs(log - centre))
            self._streak = _Streak()
            self._unusual[usual.weekday].clear()
        else:
            self._lengthen_streak(kind, usual, log)
            self._note_weekday(usual, log)
        return kind, value, usual.expected, usual.low, usual.high, severity

    def _learn_unknown(self, weekday: int, value: float | None) -> None:
        if value is not None:
            log = self._log(value)
            self._effects[weekday].append(
                log - (_middle_mean(self._levels[-_LEVEL_DAYS:]) if self._levels else log)
            )

    def _lengthen_streak(self, kind: str, usual: _Range, log: float) -> None:
        """Remember an unusual day. Two weeks of them at one level are no fault but the level from now on."""
        if kind != self._streak.kind:
            self._streak = _Streak(kind)
        self._streak.days.append((usual.weekday, log))
        days = self._streak.days[-_NEW_LEVEL_DAYS:]
        if len(days) < _NEW_LEVEL_DAYS:
            return
        flat = [log - _middle_mean(self._effects[weekday][-_WEEKDAY_VALUES:]) for weekday, log in days]
        level = _middle_mean(flat)
        beside = sum(abs(log - level) > usual.limit for log in flat)
        if beside > _MOST_BESIDE_NEW_LEVEL or level < usual.level + math.log(_LOWEST_NEW_LEVEL):
            return
        self._levels = flat
        self._streak = _Streak()

    def _note_weekday(self, usual: _Range, log: float) -> None:
        """Remember an unusual weekday. Six of them in a row, alike and among usual days, are its effect from now on."""
        distances = self._unusual[usual.weekday]
        distances.append(log - usual.level)
        weeks = distances[-_NEW_EFFECT_WEEKS:]
        if len(weeks) < _NEW_EFFECT_WEEKS or len(self._streak.days) >= WEEK:
            return
        effect = _middle_mean(weeks)
        if sum(abs(distance - effect) > usual.limit for distance in weeks) <= _MOST_BESIDE_NEW_EFFECT:
            self._effects[usual.weekday] = weeks.copy()
            distances.clear()


def _present(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _middle_mean(values: Sequence[float]) -> float:
    """Return the mean of the middle half of values, of which there is at least one."""
    ordered = sorted(values)
    outside = len(ordered) // 4
    middle = ordered[outside : len(ordered) - outside]
    return math.fsum(middle) / len(middle)


def _spread(distances: Sequence[float]) -> float:
    """Return the standard deviation of a normal distribution with this 80th percentile of distances from its mean."""
    ordered = sorted(distances)
    if not ordered:
        return 0.0
    place = 0.8 * (len(ordered) - 1)
    at = int(place)
    above = ordered[min(at + 1, len(ordered) - 1)]
    return (ordered[at] + (above - ordered[at]) * (place - at)) / _NORMAL_80
