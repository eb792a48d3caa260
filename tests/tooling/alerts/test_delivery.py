"""Each channel is sent each alert once, whatever other channels and other runs do."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sluice.errors import StorageError
from sluice.storage.local import LocalStore
from sluice.tooling.alerts.delivery import Delivery, Scope, deliver
from sluice.tooling.alerts.rules import AlertRules, Silence
from sluice.tooling.alerts.slack import SlackChannel
from sluice.tooling.alerts.state import AlertState
from sluice.tooling.monitors.finding import Finding

from tests.tooling.alerts.examples import NOW, REVENUE, SCOPE, ListChannel, failing, finding, silent_server

DAY = 86400.0
SALES = finding(metric="sales", severity=9.0)
ONE = "1 alert: revenue 2026-11-28 high"
RESOLVED = "1 resolved"


class Runs:
    """Runs of one monitor with some channels, and the state between them."""

    def __init__(self, folder: Path, *channels: ListChannel, **rules: Any) -> None:
        self.folder = folder
        self.rules = AlertRules(channels=channels, **rules)

    def __call__(self, *findings: Finding, scope: Scope = SCOPE, after: float = 0.0) -> list[Delivery]:
        state = AlertState(LocalStore(str(self.folder)))
        return deliver(findings, self.rules, state, scope, clock=lambda: NOW + after)


def test_alert_is_sent_once_and_resolved_once(tmp_path: Path) -> None:
    channel = ListChannel(name="a")
    run = Runs(tmp_path, channel)
    assert run(REVENUE) == [Delivery("a", 1, 0)]
    assert run(REVENUE) == []
    assert run(REVENUE, SALES) == [Delivery("a", 1, 0)]
    assert run(SALES) == [Delivery("a", 0, 1)]
    assert run(SALES) == []
    assert channel.subjects() == [ONE, "1 alert: sales 2026-11-28 high", RESOLVED]


def test_receiver_that_was_rejected_is_said_and_the_alert_is_not_sent_again(tmp_path: Path) -> None:
    run = Runs(tmp_path, ListChannel(name="mail", remark="server rejected ops@example.com: 550 no such user"))
    (delivery,) = run(REVENUE)
    expected = "mail: sent 1 alert and 0 resolved, but server rejected ops@example.com: 550 no such user"
    assert str(delivery) == expected
    assert run(REVENUE) == []


def test_no_findings_send_nothing_and_write_nothing(tmp_path: Path) -> None:
    assert Runs(tmp_path / "state", ListChannel(name="a"))() == []
    assert not (tmp_path / "state").exists()


def test_alert_that_comes_back_is_sent_again(tmp_path: Path) -> None:
    channel = ListChannel(name="a")
    run = Runs(tmp_path, channel)
    for findings in ([REVENUE], [], [REVENUE]):
        run(*findings)
    assert channel.subjects() == [ONE, RESOLVED, ONE]


@pytest.mark.parametrize(
    "changes",
    [
        {"observed": 1.0},
        {"expected": None},
        {"severity": 99.0},
        {"explanation": "x"},
        {"where": "y"},
        {"command": "z"},
    ],
)
def test_alert_with_other_figures_is_the_same_alert(tmp_path: Path, changes: dict[str, Any]) -> None:
    run = Runs(tmp_path, ListChannel(name="a"))
    run(REVENUE)
    assert run(finding(**changes)) == []


@pytest.mark.parametrize(
    "changes", [{"metric": "m"}, {"kind": "low"}, {"day": date(2026, 11, 27)}, {"day": None}, {"check": "c"}]
)
def test_alert_with_another_key_is_another_alert(tmp_path: Path, changes: dict[str, Any]) -> None:
    run = Runs(tmp_path, ListChannel(name="a"))
    run(REVENUE)
    assert run(REVENUE, finding(**changes)) == [Delivery("a", 1, 0)]


@pytest.mark.parametrize(
    ("repeat", "after", "sent"),
    [(None, 3000 * DAY, False), (7 * DAY, 7 * DAY - 1, False), (7 * DAY, 7 * DAY, True)],
)
def test_alert_is_sent_again_after_the_repeat_interval(
    tmp_path: Path, repeat: float | None, after: float, sent: bool
) -> None:
    channel = ListChannel(name="a")
    run = Runs(tmp_path, channel, repeat=repeat)
    run(REVENUE)
    assert run(REVENUE, after=after) == ([Delivery("a", 1, 0)] if sent else [])
    if sent:
        assert run(REVENUE, after=after + 1) == []
    assert "(sent before, not resolved)" not in channel.messages[0].text()
    assert ("(sent before, not resolved)" in channel.messages[-1].text()) is sent


OTHER_SCOPES = [
    Scope("collaboration", {"daily_revenue"}),
    Scope("commerce", {"rows"}),
    Scope("commerce", {"daily_revenue"}, last_day=date(2026, 11, 27)),
    Scope("commerce", {"daily_revenue"}, first_day=date(2026, 11, 29)),
]


@pytest.mark.parametrize("scope", OTHER_SCOPES)
def test_alert_that_a_run_did_not_judge_is_not_resolved(tmp_path: Path, scope: Scope) -> None:
    run = Runs(tmp_path, ListChannel(name="a"))
    run(REVENUE)
    assert run(scope=scope) == []
    same_day = Scope("commerce", {"daily_revenue"}, date(2026, 11, 28), date(2026, 11, 28))
    assert run(scope=same_day) == [Delivery("a", 0, 1)]


def test_silent_alert_is_sent_when_its_silence_ends(tmp_path: Path) -> None:
    channel = ListChannel(name="a")
    run = Runs(tmp_path, channel, silences=(Silence(metric="revenue", until=date(2026, 11, 29)),))
    assert run(REVENUE) == []
    assert run(REVENUE, SALES) == [Delivery("a", 1, 0)]
    assert run(REVENUE, SALES, after=DAY) == [Delivery("a", 1, 0)]
    assert channel.subjects() == ["1 alert: sales 2026-11-28 high", ONE]


def test_alert_that_is_resolved_in_silence_is_never_sent_as_resolved(tmp_path: Path) -> None:
    channel = ListChannel(name="a")
    run = Runs(tmp_path, channel)
    run(REVENUE)
    run.rules = AlertRules(channels=(channel,), silences=(Silence(kind="high", until=date(2026, 11, 29)),))
    assert run() == []
    assert run(after=DAY) == []
    assert channel.subjects() == [ONE]


def test_channel_that_fails_stops_no_other_and_is_tried_again(tmp_path: Path) -> None:
    broken, channel = failing("broken", "no answer", "no answer"), ListChannel(name="a")
    run = Runs(tmp_path, broken, channel)
    failure = Delivery("broken", 1, 0, "no answer")
    assert run(REVENUE) == [failure, Delivery("a", 1, 0)]
    assert run(REVENUE) == [failure]
    assert run(REVENUE) == [Delivery("broken", 1, 0)]
    assert run(REVENUE) == []
    assert broken.subjects() == channel.subjects() == [ONE]


def test_resolved_that_could_not_be_sent_is_tried_again(tmp_path: Path) -> None:
    channel = ListChannel(name="a")
    run = Runs(tmp_path, channel)
    run(REVENUE)
    channel.failures.extend(failing("a", "no answer").failures)
    assert run() == [Delivery("a", 0, 1, "no answer")]
    assert run() == [Delivery("a", 0, 1)]
    assert channel.subjects() == [ONE, RESOLVED]


def test_alert_that_was_never_sent_is_not_sent_as_resolved(tmp_path: Path) -> None:
    channel = failing("a", "no answer")
    run = Runs(tmp_path, channel)
    run(REVENUE)
    assert run() == []


def test_channel_with_a_mistake_of_ours_stops_no_other(tmp_path: Path) -> None:
    broken, channel = ListChannel(name="broken", failures=[KeyError("s3cret")]), ListChannel(name="a")
    deliveries = Runs(tmp_path, broken, channel)(REVENUE)
    assert deliveries == [Delivery("broken", 1, 0, "an unexpected KeyError"), Delivery("a", 1, 0)]


def test_new_channel_is_sent_what_others_know(tmp_path: Path) -> None:
    first, second = ListChannel(name="a"), ListChannel(name="b")
    Runs(tmp_path, first)(REVENUE)
    assert Runs(tmp_path, first, second)(REVENUE) == [Delivery("b", 1, 0)]


@pytest.mark.parametrize("greeting", [b"", b"H"])
def test_channel_that_hangs_stops_no_other(tmp_path: Path, greeting: bytes) -> None:
    """A byte now and then keeps a connection busy for ever; the time of a whole message is limited."""
    channel = ListChannel(name="a")
    with silent_server(greeting) as port:
        slack = SlackChannel(name="slack", webhook=f"http://127.0.0.1:{port}/services/s3cret")
        rules = AlertRules(channels=(slack, channel), timeout=0.5)
        deliveries = deliver([REVENUE], rules, AlertState(LocalStore(str(tmp_path))), SCOPE)
    assert deliveries == [Delivery("slack", 1, 0, deliveries[0].failure), Delivery("a", 1, 0)]
    assert deliveries[0].failure in ("no answer within 0.5 s", "127.0.0.1 gave no answer within 0.5 s")


def test_two_runs_at_a_time_send_an_alert_once(tmp_path: Path) -> None:
    channel = ListChannel(name="a")
    runs = [Runs(tmp_path, channel) for _ in range(4)]
    threads = [threading.Thread(target=run, args=(REVENUE, SALES)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert channel.subjects() == ["2 alerts; worst: sales 2026-11-28 high"]


def test_state_that_cannot_be_read_sends_nothing(tmp_path: Path) -> None:
    (tmp_path / "00000001.json").write_text("{")
    channel = ListChannel(name="a")
    with pytest.raises(StorageError, match="delete it to go back"):
        Runs(tmp_path, channel)(REVENUE)
    assert channel.messages == []


def test_state_that_cannot_be_written_sends_nothing(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    channel = ListChannel(name="a")
    with pytest.raises(StorageError):
        Runs(tmp_path / "state", channel)(REVENUE)
    assert channel.messages == []


def lines(deliveries: Iterable[Delivery]) -> list[str]:
    return [str(delivery) for delivery in deliveries]


def test_delivery_is_one_line() -> None:
    assert lines([Delivery("a", 1, 0), Delivery("b", 2, 3, "no answer")]) == [
        "a: sent 1 alert and 0 resolved",
        "b: did not send 2 alerts and 3 resolved, the next run tries again: no answer",
    ]
