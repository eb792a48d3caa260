"""The text of a message: all its alerts, worst first, as plain text that no channel can take for markup of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sluice.addresses import mask_addresses
from sluice.storage.base import printable
from sluice.tooling.alerts.state import AlertKey
from sluice.tooling.monitors.finding import Finding

_LONGEST_FIELD = 1000
"""Characters of a field of a finding, such as its explanation; data can make it long."""

_LONGEST_SUBJECT = 200


@dataclass(frozen=True, slots=True)
class Message:
    """What a channel sends: one line as subject, and paragraphs of plain text, the most important first."""

    subject: str
    paragraphs: tuple[str, ...]

    def text(self, limit: int | None = None) -> str:
        """Return the paragraphs as one text of at most `limit` characters; what is left out is counted."""
        whole = "\n\n".join(self.paragraphs)
        if limit is None or len(whole) <= limit:
            return whole
        for count in range(len(self.paragraphs) - 1, 0, -1):
            more = f"… and {len(self.paragraphs) - count} more"
            shortened = "\n\n".join([*self.paragraphs[:count], more])
            if len(shortened) <= limit:
                return shortened
        return f"{whole[: limit - 1]}…"


def compose(
    monitor: str, alerts: Sequence[Finding], resolved: Sequence[AlertKey], known: set[AlertKey], now: float
) -> Message:
    """Return the message about `alerts`, of which `known` were sent before, and about what is resolved."""
    ordered = sorted(alerts, key=_rank)
    counts = [f"{_count(len(ordered), 'alert')}"] if ordered else []
    counts += [f"{len(resolved)} resolved"] if resolved else []
    subject = f"[sluice] {monitor}: {', '.join(counts)}"
    if ordered:
        worst = ordered[0]
        subject += f"{'; worst' if len(ordered) > 1 else ''}: {worst.metric} {_day(worst)} {worst.kind}"
    at = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M UTC")
    order = ", the worst is first" if len(ordered) > 1 else ""
    head = f"Monitor {_field(monitor)}, {at}: {', '.join(counts)}{order}."
    numbered = (_paragraph(number, finding, known) for number, finding in enumerate(ordered, 1))
    return Message(_field(subject, _LONGEST_SUBJECT), (head, *numbered, *_resolved(resolved)))


def _rank(finding: Finding) -> tuple[float, AlertKey]:
    severity = -math.inf if math.isnan(finding.severity) else finding.severity
    return -severity, AlertKey.of(finding)


def _paragraph(number: int, finding: Finding, known: set[AlertKey]) -> str:
    again = " (sent before, not resolved)" if AlertKey.of(finding) in known else ""
    lines = [
        f"{number}. {_field(finding.metric)}, {_day(finding)}: {_field(finding.kind)}{again}",
        f"observed {_number(finding.observed)}, {_usual(finding)}",
        _field(finding.explanation),
        f"check: {_field(finding.check)} of {_field(finding.monitor)}",
        f"where to look: {_field(finding.where)}" if finding.where else "",
        f"what helps: {_field(finding.command)}" if finding.command else "",
    ]
    return "\n   ".join(line for line in lines if line)


def _resolved(keys: Sequence[AlertKey]) -> list[str]:
    if not keys:
        return []
    lines = [
        f"- {_field(key.metric)}, {key.day or 'now'}: {_field(key.kind)} (check {_field(key.check)})"
        for key in sorted(keys)
    ]
    return ["\n".join(["Resolved:", *lines])]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _day(finding: Finding) -> str:
    return "now" if finding.day is None else finding.day.isoformat()


def _usual(finding: Finding) -> str:
    parts = []
    if finding.low is not None and finding.high is not None:
        parts.append(f"usual {_number(finding.low)} to {_number(finding.high)}")
    elif finding.high is not None:
        parts.append(f"usual at most {_number(finding.high)}")
    elif finding.low is not None:
        parts.append(f"usual at least {_number(finding.low)}")
    parts.append(f"expected {_number(finding.expected)}")
    return ", ".join(parts)


def _number(value: float | None) -> str:
    return "nothing" if value is None else f"{value:,.10g}"


def _field(text: str, longest: int = _LONGEST_FIELD) -> str:
    """Return a text of a finding on one line, without secrets of addresses; what nobody sees is escaped.

    Line breaks would add headers to a mail, and marks that turn the direction of writing would hide what follows.
    """
    shown = printable(mask_addresses(text))
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"
