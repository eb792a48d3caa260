"""Sends what monitors found to all channels at once: new alerts, those to repeat, and those that are resolved."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from sluice.clock import Clock, system_clock
from sluice.errors import ChannelError
from sluice.tooling.alerts.channels import Channel
from sluice.tooling.alerts.message import Message, compose
from sluice.tooling.alerts.rules import AlertRules
from sluice.tooling.alerts.state import AlertKey, AlertState, Changes, Sent
from sluice.tooling.monitors.finding import Finding

_SECONDS_BESIDE_SENDING = 30.0
"""How long a run may hold its lease besides the time that channels may take."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a run has judged. An alert that was sent before is resolved if this run judged it and did not find it."""

    monitor: str
    checks: Collection[str]
    """Names of the checks that came to a verdict; alerts of one that failed are not resolved."""
    first_day: date | None = None
    last_day: date | None = None
    """The days that were judged, both included; None: all before or after."""

    def covers(self, key: AlertKey) -> bool:
        """Tell whether this run has judged what the alert is about."""
        if key.monitor != self.monitor or key.check not in self.checks:
            return False
        if not key.day:
            return True
        after = self.first_day is None or self.first_day.isoformat() <= key.day
        return after and (self.last_day is None or key.day <= self.last_day.isoformat())


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a message to a channel."""

    channel: str
    alerts: int
    resolved: int
    failure: str = ""
    """Why it was not sent, without secrets; '' if it was."""
    remark: str = ""
    """Who of several receivers did not get it, and why; '' if all did."""

    def __str__(self) -> str:
        """Return one line about it, such as `slack: sent 2 alerts and 0 resolved`."""
        counts = f"{self.alerts} alert{'' if self.alerts == 1 else 's'} and {self.resolved} resolved"
        if not self.failure:
            return f"{self.channel}: sent {counts}" + (f", but {self.remark}" if self.remark else "")
        return f"{self.channel}: did not send {counts}, the next run tries again: {self.failure}"


@dataclass(frozen=True, slots=True)
class _Plan:
    """What one channel is due to be sent, and what is forgotten without a message since a rule says silence."""

    alerts: tuple[Finding, ...]
    known: set[AlertKey]
    resolved: tuple[AlertKey, ...]
    forgotten: set[AlertKey]

    def is_empty(self) -> bool:
        return not (self.alerts or self.resolved or self.forgotten)


def deliver(
    findings: Iterable[Finding],
    rules: AlertRules,
    state: AlertState,
    scope: Scope,
    *,
    clock: Clock = system_clock,
) -> list[Delivery]:
    """Send one message to each channel that has something due, and remember what was sent.

    A channel gets each alert once, again after `rules.repeat`, and once more when it is resolved; a silent one not at
    all. A channel that fails or does not answer in time is tried again by the next run; one whose answer is lost may
    get a message twice. Two runs at a time send nothing twice.

    Returns:
        What became of the messages, in the order of the channels; nothing for channels that have nothing due.

    Raises:
        StorageError: what was sent before cannot be read, or what was sent now cannot be written.

    """
    by_key = {AlertKey.of(finding): finding for finding in findings}
    if not _plans(by_key, rules, state.read(), scope, clock()):
        return []
    with state.lease(rules.timeout + _SECONDS_BESIDE_SENDING) as (before, changes):
        now = clock()
        plans = _plans(by_key, rules, before, scope, now)
        return _carry_out(plans, rules, scope.monitor, changes, now)


def _carry_out(
    plans: Mapping[str, _Plan], rules: AlertRules, monitor: str, changes: Changes, now: float
) -> list[Delivery]:
    """Send what is due to each channel, and fill in `changes` with what was sent."""
    for name, plan in plans.items():
        changes.forgotten[name] = set(plan.forgotten)
    messages = {
        name: compose(monitor, plan.alerts, plan.resolved, plan.known, now)
        for name, plan in plans.items()
        if plan.alerts or plan.resolved
    }
    channels = [channel for channel in rules.channels if channel.name in messages]
    deliveries = []
    for name, answer in _send(channels, messages, rules.timeout).items():
        plan = plans[name]
        deliveries.append(Delivery(name, len(plan.alerts), len(plan.resolved), answer.failure, answer.remark))
        if not answer.failure:
            changes.sent[name] = {AlertKey.of(alert): now for alert in plan.alerts}
            changes.forgotten[name].update(plan.resolved)
    return deliveries


def _plans(
    findings: Mapping[AlertKey, Finding], rules: AlertRules, before: Sent, scope: Scope, now: float
) -> dict[str, _Plan]:
    """Return channel -> what is due there, without channels that have nothing due."""
    plans = {
        channel.name: _plan(findings, rules, before.get(channel.name, {}), scope, now)
        for channel in rules.channels
    }
    return {name: plan for name, plan in plans.items() if not plan.is_empty()}


def _plan(
    findings: Mapping[AlertKey, Finding],
    rules: AlertRules,
    sent: Mapping[AlertKey, float],
    scope: Scope,
    now: float,
) -> _Plan:
    alerts = [
        finding
        for key, finding in findings.items()
        if not rules.is_silent(key, now)
        and (key not in sent or (rules.repeat is not None and now - sent[key] >= rules.repeat))
    ]
    gone = [key for key in sent if key not in findings and scope.covers(key)]
    silent = {key for key in gone if rules.is_silent(key, now)}
    resolved = [key for key in gone if key not in silent]
    return _Plan(tuple(alerts), set(sent), tuple(resolved), silent)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What became of one message: see `Delivery`."""

    failure: str = ""
    remark: str = ""


def _send(channels: Iterable[Channel], messages: Mapping[str, Message], seconds: float) -> dict[str, _Answer]:
    """Return channel -> what became of its message. All channels together have `seconds`.

    Each has a thread of its own that the process does not wait for: a channel that hangs stops nothing.
    """
    came: queue.SimpleQueue[tuple[str, _Answer]] = queue.SimpleQueue()
    answers = {}
    for channel in channels:
        answers[channel.name] = _Answer(f"no answer within {seconds:g} s")
        arguments = (channel, messages[channel.name], seconds, came)
        threading.Thread(target=_send_one, args=arguments, daemon=True).start()
    deadline = time.monotonic() + seconds
    for _ in range(len(answers)):
        try:
            name, answer = came.get(timeout=max(deadline - time.monotonic(), 0))
        except queue.Empty:
            break
        answers[name] = answer
    return answers


def _send_one(
    channel: Channel, message: Message, seconds: float, came: queue.SimpleQueue[tuple[str, _Answer]]
) -> None:
    try:
        answer = _Answer(remark=channel.send(message, seconds))
    except ChannelError as error:
        answer = _Answer(str(error))
    except (
        Exception
    ) as error:  # a mistake of ours, or of a library: it must not take the other channels with it
        answer = _Answer(f"an unexpected {type(error).__name__}")
    came.put((channel.name, answer))
