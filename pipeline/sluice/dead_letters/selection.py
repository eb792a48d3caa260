"""Which dead letters of a log are meant: by code, event type, job, step, contract and time of rejection."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sluice.config.durations import time_with_offset
from sluice.dead_letters.envelope import DeadLetter
from sluice.errors import ConfigError, quote

SELECTABLE_FIELDS = ("code", "event_type", "job", "step", "contract")
"""Fields of a dead letter that a selection can name."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Dead letters that have one of the `values` of each named field and were rejected at `since` or later."""

    values: Mapping[str, frozenset[str]] = field(default_factory=dict)
    since: datetime | None = None

    def __contains__(self, dead_letter: DeadLetter) -> bool:
        """Tell whether the selection includes `dead_letter`."""
        return (self.since is None or dead_letter.rejected_at >= self.since) and all(
            getattr(dead_letter, name) in values for name, values in self.values.items()
        )


def make_selection(conditions: Iterable[tuple[str, str]], where: str) -> Selection:
    """Return the selection of (field, value) conditions; several values of one field are alternatives.

    Raises:
        ConfigError: a field is unknown or `since` is not a time; the message begins with `where`.

    """
    values: dict[str, set[str]] = defaultdict(set)
    since = None
    for name, value in conditions:
        if name == "since":
            since = time_with_offset(value, f"{where}: since")
        elif name in SELECTABLE_FIELDS:
            values[name].add(value)
        else:
            known = ", ".join(SELECTABLE_FIELDS)
            message = f"{where}: expected some of {known} and since, got {quote(name)}"
            raise ConfigError(message)
    return Selection({name: frozenset(alternatives) for name, alternatives in values.items()}, since)
