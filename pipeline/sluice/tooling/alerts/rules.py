"""The key `alerts` of a monitor file: channels, when an alert is sent again, and what is silent for a while."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from sluice.config.durations import day, duration
from sluice.config.options import check_keys, text
from sluice.errors import ConfigError, quote
from sluice.tooling.alerts.apprise_services import AppriseChannel
from sluice.tooling.alerts.channels import Channel, read_channel
from sluice.tooling.alerts.slack import SlackChannel
from sluice.tooling.alerts.smtp import EmailChannel
from sluice.tooling.alerts.state import AlertKey

CHANNELS: Mapping[str, type[Channel]] = {
    "email": EmailChannel,
    "slack": SlackChannel,
    "apprise": AppriseChannel,
}
"""Type of a channel, as monitor files write it -> its class."""

_SELECTING = ("check", "metric", "kind", "day")


_SILENCE_KEYS: Mapping[str, Callable[[Any, str], Any]] = {
    "check": text,
    "metric": text,
    "kind": text,
    "day": day,
    "until": day,
    "reason": text,
}


@dataclass(frozen=True, kw_only=True)
class Silence:
    """No channel is sent alerts that have all the values given here, up to the end of the day `until`, in UTC."""

    until: date
    check: str | None = None
    metric: str | None = None
    kind: str | None = None
    day: date | None = None
    reason: str = ""

    def covers(self, key: AlertKey, now: float) -> bool:
        """Tell whether an alert is silent at `now`, in epoch seconds."""
        wanted = {"check": self.check, "metric": self.metric, "kind": self.kind}
        if self.day is not None:
            wanted["day"] = self.day.isoformat()
        matches = all(getattr(key, name) == value for name, value in wanted.items() if value is not None)
        return matches and datetime.fromtimestamp(now, UTC).date() <= self.until


@dataclass(frozen=True, kw_only=True)
class AlertRules:
    """What is sent where, and when; all durations are in seconds."""

    channels: tuple[Channel, ...] = ()
    repeat: float | None = None
    """After this time an alert that is still there is sent again; None: never."""
    timeout: float = 30.0
    """How long one message may take."""
    silences: tuple[Silence, ...] = ()

    def is_silent(self, key: AlertKey, now: float) -> bool:
        """Tell whether a rule says that nobody is sent this alert at `now`."""
        return any(silence.covers(key, now) for silence in self.silences)


def read_alerts(value: Any, where: str) -> AlertRules:
    """Return the rules that the key `alerts` of a monitor file holds; None holds none.

    `where` begins messages, such as `monitors/shop.yaml: alerts`. A channel whose variables are not set is no
    mistake of the file: it fails when it is used, and the others are used.

    Raises:
        ConfigError: a key is unknown, missing or wrong, or a secret stands in the file itself.

    """
    keys = ("channels", "repeat", "timeout", "silences")
    given = _mapping({} if value is None else value, where, keys)
    channels = tuple(
        read_channel(CHANNELS, channel, f"{where}.channels[{number}]")
        for number, channel in enumerate(_list(given.get("channels"), f"{where}.channels"))
    )
    for name, count in Counter(channel.name for channel in channels).items():
        if count > 1:
            message = (
                f"{where}.channels: expected a name of its own for each channel, got {quote(name)} twice"
            )
            raise ConfigError(message)
    silences = tuple(
        _silence(silence, f"{where}.silences[{number}]")
        for number, silence in enumerate(_list(given.get("silences"), f"{where}.silences"))
    )
    durations = {
        key: _positive(given[key], f"{where}.{key}")
        for key in ("repeat", "timeout")
        if given.get(key) is not None
    }
    return AlertRules(channels=channels, silences=silences, **durations)


def _silence(value: Any, where: str) -> Silence:
    given = _mapping(value, where, tuple(_SILENCE_KEYS))
    parsed = {key: _SILENCE_KEYS[key](member, f"{where}: {key}") for key, member in given.items()}
    if "until" not in parsed:
        message = (
            f"{where}: until: expected the last day of the silence, such as 2026-12-31, got nothing; add it"
        )
        raise ConfigError(message)
    if not any(key in parsed for key in _SELECTING):
        message = f"{where}: expected at least one of {', '.join(_SELECTING)}, got none; say which alerts are silent"
        raise ConfigError(message)
    return Silence(**parsed)


def _positive(value: Any, where: str) -> float:
    seconds = duration(value, where)
    if seconds <= 0:
        message = f"{where}: expected more than no time, got {quote(value)}"
        raise ConfigError(message)
    return seconds


def _mapping(value: Any, where: str, keys: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict):
        message = f"{where}: expected a mapping with {', '.join(keys)}, got {quote(value)}"
        raise ConfigError(message)
    check_keys(value, keys, where)
    return value


def _list(value: Any, where: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        message = f"{where}: expected a list, got {quote(value)}"
        raise ConfigError(message)
    return value
