"""What a redelivery would do: which dead letters its flags select, and how many of them it would redeliver."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from sluice.config.durations import duration, time_with_offset
from sluice.dead_letters.reading import find_minutes, read_minute
from sluice.dead_letters.selection import SELECTABLE_FIELDS, Selection, make_selection
from sluice.errors import ConfigError, quote
from sluice.sources.dead_letters.source import DeadLetterSource


def read_selection(where: Sequence[str], since: str | None, now: float) -> Selection:
    """Return the selection of the flags `--where` (name=value, several separated by commas) and `--since`.

    `since` is a time with its offset, or a duration back from `now` (epoch seconds).

    Raises:
        ConfigError: naming the flag, what was expected and what came.

    """
    conditions = []
    for condition in (part for text in where for part in text.split(",")):
        name, separator, value = condition.partition("=")
        if not separator or name not in SELECTABLE_FIELDS:
            known = ", ".join(SELECTABLE_FIELDS)
            message = f"--where: expected NAME=VALUE with one of {known}, got {quote(condition)}"
            raise ConfigError(message)
        conditions.append((name, value))
    selection = make_selection(conditions, "--where")
    return replace(selection, since=None if since is None else _since(since, now))


def _since(text: str, now: float) -> datetime:
    if text[:1].isdigit() and "-" not in text:
        return datetime.fromtimestamp(now - duration(text, "--since"), UTC)
    return time_with_offset(text, "--since")


@dataclass(slots=True)
class RedeliveryPlan:
    """What a redelivery would deliver, and how many selected dead letters it would leave, by reason."""

    open: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(Code, event type) -> dead letters to redeliver, rows that the warehouse rejected included."""
    accepted_before: int = 0
    conflicting: int = 0
    undecidable: int = 0


def plan_redelivery(source: DeadLetterSource) -> RedeliveryPlan:
    """Read the dead letters of `source` and their redelivery entries, and return what it would redeliver.

    Raises:
        SourceError: there is no log of dead letters.
        StorageError: it cannot be read.

    """
    source.check()
    plan = RedeliveryPlan()
    for minute in find_minutes(source.log):
        selected = read_minute(minute, source.log, source.selection)
        plan.open.update(
            (dead_letter.code, dead_letter.event_type or "unknown")
            for dead_letter, _, _ in (*selected.open, *selected.rows)
        )
        plan.accepted_before += selected.accepted_before
        plan.conflicting += selected.conflicting
        plan.undecidable += selected.undecidable
    return plan
