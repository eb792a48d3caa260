"""What all channels have in common: how a monitor file declares one, and what it must do with a message."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sluice.addresses import HIDDEN
from sluice.config.options import check_keys, declared, missing_options, option
from sluice.config.variables import expand_variables, is_variable, unset_variables
from sluice.errors import ChannelError, ConfigError, quote
from sluice.storage.base import printable
from sluice.tooling.alerts.message import Message

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Hosts that a secret may be sent to without encryption: it does not leave the machine."""

_LONGEST_ANSWER = 200


@dataclass(frozen=True, kw_only=True)
class Channel(ABC):
    """Where messages are sent. Subclasses declare their keys as fields, see `option`; a `_` at their end is dropped."""

    variable: ClassVar[str]
    """The variable that messages suggest for its secret."""

    name: str = option("its name, under which is remembered what it was sent (default: its type)", default="")

    @abstractmethod
    def send(self, message: Message, seconds: float) -> str:
        """Send a message; wait for an answer for `seconds`.

        Returns:
            Who of several receivers did not get it, and why; '' if all did. It has no secret in it.

        Raises:
            ChannelError: it was not sent, as far as is known. The reason has no secret in it.

        """

    def check(self, where: str) -> None:  # noqa: B027  most channels have nothing to check
        """Raise ConfigError, whose message begins with `where`, if the keys do not go together."""


@dataclass(frozen=True, kw_only=True)
class UnsetChannel(Channel):
    """A channel that cannot be used, since a variable of its keys is not set; the others can."""

    reason: str

    def send(self, message: Message, seconds: float) -> str:
        """Raise ChannelError with the reason."""
        del message, seconds
        raise ChannelError(self.reason)


def read_channel(types: Mapping[str, type[Channel]], value: Any, where: str) -> Channel:
    """Return the channel that a mapping of a monitor file declares.

    Raises:
        ConfigError: a key is unknown, missing or wrong, or a secret stands in the file itself.

    """
    if not isinstance(value, dict):
        message = f"{where}: expected a mapping with a type, one of {', '.join(types)}, got {quote(value)}"
        raise ConfigError(message)
    kind = value.get("type")
    if not isinstance(kind, str) or kind not in types:
        message = f"{where}: type: expected one of {', '.join(types)}, got {quote(kind)}"
        raise ConfigError(message)
    channel = types[kind]
    fields = {field.name.rstrip("_"): field for field in declared(channel)}
    given = {key: member for key, member in value.items() if key != "type"}
    check_keys(given, ["type", *fields], where)
    _check_secrets(channel, {key: given[key] for key in given if fields[key].metadata["secret"]}, where)
    for name in missing_options(fields.values(), {fields[key].name: None for key in given}):
        message = f"{where}: {name.rstrip('_')}: expected this key, got nothing; add it"
        raise ConfigError(message)
    named = {"name": kind, **given}
    unset = [name for member in given.values() for name in _unset(member)]
    if unset:
        name = fields["name"].metadata["parse"](named["name"], f"{where}: name")
        reason = f"expected the environment variable {unset[0]}, got nothing; set it"
        return UnsetChannel(name=name, reason=reason)
    made = channel(**{fields[key].name: _parse(fields[key], named[key], f"{where}: {key}") for key in named})
    made.check(where)
    return made


def _check_secrets(channel: type[Channel], secrets: Mapping[str, Any], where: str) -> None:
    for key, value in secrets.items():
        if not is_variable(value):
            message = (
                f"{where}: {key}: expected an environment variable, such as ${{{channel.variable}}}, since it is "
                "secret, got a value, which is not repeated here; put it into the variable, and change the secret if "
                "others could read this file"
            )
            raise ConfigError(message)


def _unset(value: Any) -> list[str]:
    members = value if isinstance(value, list) else [value]
    return [name for member in members for name in unset_variables(member)]


def _parse(field: Any, value: Any, where: str) -> Any:
    if isinstance(value, list):
        expanded: Any = [expand_variables(member, where) for member in value]
    else:
        expanded = expand_variables(value, where)
    if not field.metadata["secret"]:
        return field.metadata["parse"](expanded, where)
    return field.metadata["parse"](
        expanded.rstrip("\r\n"), where
    )  # as files of secrets often end with a line end


def answer_words(answer: bytes | str, secrets: Iterable[str]) -> str:
    """Return what a server said, cut and on one line; a server may repeat what it was sent, secrets included."""
    words = answer.decode(errors="replace") if isinstance(answer, bytes) else answer
    for secret in sorted(secrets, key=len, reverse=True):
        if secret:
            words = words.replace(secret, HIDDEN)
    return printable(" ".join(words.split()))[:_LONGEST_ANSWER]
