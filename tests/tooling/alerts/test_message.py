"""A message lists all alerts, worst first, as plain text."""

from __future__ import annotations

import math
from datetime import date

import pytest
from sluice.tooling.alerts.message import Message, compose
from sluice.tooling.alerts.state import AlertKey

from tests.tooling.alerts.examples import HOSTILE, HOSTILE_SHOWN, NOW, finding


def test_message_says_what_when_observed_usual_where_and_what_helps() -> None:
    message = compose("commerce", [finding()], [], set(), NOW)
    assert message.subject == "[sluice] commerce: 1 alert: revenue 2026-11-28 high"
    assert message.text() == (
        "Monitor commerce, 2026-11-29 08:00 UTC: 1 alert.\n"
        "\n"
        "1. revenue, 2026-11-28: high\n"
        "   observed 12,345.6, usual 8,000 to 9,500, expected 8,700\n"
        "   Revenue of 2026-11-28 was higher than usual.\n"
        "   check: daily_revenue of commerce\n"
        "   where to look: reporting.daily_sales\n"
        "   what helps: sluice audit jobs/commerce_sales.yaml --day 2026-11-28"
    )


def test_alerts_are_sorted_by_severity_then_key() -> None:
    severities = {"a": 2.0, "b": math.inf, "c": math.nan, "d": 2.0, "e": 7.5}
    alerts = [finding(metric=metric, severity=severity) for metric, severity in severities.items()]
    message = compose("commerce", alerts, [], set(), NOW)
    assert message.subject == "[sluice] commerce: 5 alerts; worst: b 2026-11-28 high"
    assert [paragraph.partition(",")[0] for paragraph in message.paragraphs[1:]] == [
        "1. b", "2. e", "3. a", "4. d", "5. c",
    ]  # fmt: skip


def test_resolved_alerts_are_listed_behind_those_that_are_there() -> None:
    resolved = [
        AlertKey("commerce", "fresh", "rows", "", "stale"),
        AlertKey.of(finding(day=date(2026, 11, 3))),
    ]
    message = compose("commerce", [finding()], resolved, set(), NOW)
    assert message.subject == "[sluice] commerce: 1 alert, 2 resolved: revenue 2026-11-28 high"
    assert message.paragraphs[-1] == (
        "Resolved:\n- revenue, 2026-11-03: high (check daily_revenue)\n- rows, now: stale (check fresh)"
    )


def test_alert_that_was_sent_before_says_so() -> None:
    message = compose("commerce", [finding()], [], {AlertKey.of(finding())}, NOW)
    assert "1. revenue, 2026-11-28: high (sent before, not resolved)\n" in message.text()


@pytest.mark.parametrize(
    ("low", "high", "usual"),
    [
        (8000, 9500, "usual 8,000 to 9,500, expected 8,700"),
        (None, 9500, "usual at most 9,500, expected 8,700"),
        (8000, None, "usual at least 8,000, expected 8,700"),
        (None, None, "expected 8,700"),
        (0.125, 1e21, "usual 0.125 to 1e+21, expected 8,700"),
    ],
)
def test_usual_range_may_have_one_end(low: float | None, high: float | None, usual: str) -> None:
    text = compose("commerce", [finding(low=low, high=high, observed=None)], [], set(), NOW).text()
    assert f"observed nothing, {usual}\n" in text


def test_finding_without_day_where_and_command_leaves_them_out() -> None:
    text = compose("commerce", [finding(day=None, where="", command="")], [], set(), NOW).paragraphs[1]
    assert text.splitlines()[0] == "1. revenue, now: high"
    assert text.splitlines()[-1] == "   check: daily_revenue of commerce"


@pytest.mark.parametrize("field", ["metric", "kind", "check", "monitor", "explanation", "where", "command"])
def test_hostile_text_stays_on_its_line(field: str) -> None:
    message = compose("commerce", [finding(**{field: HOSTILE})], [], set(), NOW)
    assert "\n" not in message.subject
    assert HOSTILE_SHOWN in message.text()
    assert len(message.paragraphs[1].splitlines()) == 6
    assert "\u202e" not in message.text() + message.subject


def test_secret_of_an_address_is_not_shown() -> None:
    where = "postgresql://etl:s3cret@db/shop?password=s3cret2"
    message = compose(
        "commerce", [finding(where=where, command=f"sluice audit --to {where}")], [], set(), NOW
    )
    assert "s3cret" not in message.text()
    assert "where to look: postgresql://db/shop\n" in message.text()


def test_long_text_is_cut() -> None:
    message = compose("commerce", [finding(metric="m" * 10_000, explanation="x" * 10_000)], [], set(), NOW)
    assert len(message.subject) == 200
    assert len(message.text()) < 2_500


PARAGRAPHS = ("head", "1. aaaa", "2. bbbb", "3. cccc")


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        (None, "head\n\n1. aaaa\n\n2. bbbb\n\n3. cccc"),
        (31, "head\n\n1. aaaa\n\n2. bbbb\n\n3. cccc"),
        (30, "head\n\n1. aaaa\n\n… and 2 more"),
        (27, "head\n\n1. aaaa\n\n… and 2 more"),
        (26, "head\n\n… and 3 more"),
        (10, "head\n\n1. …"),
    ],
)
def test_text_has_as_many_paragraphs_as_its_limit_allows(limit: int | None, text: str) -> None:
    assert Message("s", PARAGRAPHS).text(limit) == text
