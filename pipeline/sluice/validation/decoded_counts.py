"""What the decoder did with a batch, as the counts of a step."""

from __future__ import annotations

from collections import Counter

from sluice.contracts import ITEM, parse_path, path_text
from sluice.elements import Rejected, StepCounts, Violation, bound_names
from sluice.validation.explainer import violation_code
from sluice.validation.records import Decoded


def count_decoded(decoded: Decoded) -> StepCounts:
    """Return what decode did with one batch; see `DecodeRecords`."""
    counts: Counter[tuple[str, str]] = Counter()
    if decoded.separated:
        counts["read", ""] += decoded.separated
    for key, lines in decoded.events.items():
        counts["routed", key.event_type] += len(lines)
    for event_type, number in decoded.repaired.items():
        counts["repaired", event_type] += number
    for rejected in decoded.rejected:
        event_type = rejected.event_type or "unknown"
        counts["routed", event_type] += 1
        counts["rejected", event_type] += 1
        code = violation_code(rejected.violations)
        counts["code", code] += 1
        counts.update(("reason", reason) for reason in reasons_of(rejected))
        if code == "unknown_type":
            counts["unknown_type", rejected.violations[0].got] += 1
    bound_names(counts)
    if not decoded.events:
        return StepCounts(counts)
    return StepCounts(counts, decoded.first, decoded.last)


def reasons_of(rejected: Rejected) -> dict[str, Violation]:
    """Return each property with the code of its violation, such as `order.items[].price: range`, and the first one."""
    reasons: dict[str, Violation] = {}
    for violation in rejected.violations:
        parts = parse_path(violation.path) if violation.path else ()
        path = path_text(tuple(ITEM if isinstance(part, int) else part for part in parts))
        name = f"{rejected.event_type or 'unknown'}{path and '.'}{path}: {violation.code}"
        reasons.setdefault(name, violation)
    return reasons
