"""Connectors that declare themselves: what a URL can say of a source or a warehouse, and which client it needs.

A connector is a frozen dataclass. Its class variables declare the schemes, the shape of the URL and the client; its
fields declare the parts and options of the URL, see `option`. From the declaration follow parsing, error messages,
masking, the check for a missing client, and what `describe` returns for listings and documentation.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, Self, TypeVar
from urllib.parse import unquote

from sluice.addresses import HIDDEN, mask, mask_path, split_credentials
from sluice.config.options import (
    OptionDescription,
    declared,
    describe_option,
    missing_options,
    parse_pairs,
    written_name,
)
from sluice.config.urls import Url
from sluice.errors import ConfigError

Opened_co = TypeVar("Opened_co", covariant=True)
_WORD = re.compile(r"[^\s=@?#;]*")
_WITH_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True, slots=True)
class Client:
    """A vendor's client that not every installation has: the module to import, and the extra that installs it."""

    module: str
    extra: str

    def is_installed(self) -> bool:
        """Tell whether the client can be found, without importing it."""
        try:
            return importlib.util.find_spec(self.module) is not None
        except ModuleNotFoundError:  # of a package that its module would lie in
            return False

    def check(self, where: object) -> None:
        """Import the client.

        Raises:
            ConfigError: it is not installed; the message begins with `where` and names the extra.

        """
        try:
            importlib.import_module(self.module)
        except ImportError as error:
            raise self.missing(where) from error

    def missing(self, where: object) -> ConfigError:
        """Return the error that says that the client is not installed, and how to install it."""
        return ConfigError(f"{where}: its client is not installed: pip install 'sluice-beam[{self.extra}]'")


@dataclass(frozen=True, kw_only=True)
class Connector(ABC, Generic[Opened_co]):
    """The parsed URL of a source or warehouse; `open` makes the source or warehouse.

    Subclasses are frozen dataclasses with `kw_only=True`; the first line of their docstring is the summary in listings.
    """

    schemes: ClassVar[tuple[str, ...]]
    shape: ClassVar[str]
    """The URL as messages and documentation write it, such as `kafka://HOST:PORT/TOPIC?group=NAME`."""
    place: ClassVar[re.Pattern[str]]
    """What stands between `://` (and user and password) and the options; its groups are fields with `part=True`."""
    separator: ClassVar[str] = "://"
    options_after: ClassVar[Literal["?", "#", ""]] = "?"
    """Where the options stand; `#` if the query belongs to the server; '' if there are none, and `?` is part of a path.
    """
    has_authority: ClassVar[bool] = True
    """Behind `://` stands a host or bucket, which user and password may precede; not so in addresses of local files."""
    client: ClassVar[Client | None] = None
    bounded: ClassVar[bool] = True
    """What is read has an end. It is said here, too, for those who do not load the source, and Beam with it."""
    credentials: ClassVar[str] = ""
    """Where user and password come from, for the message that rejects those in a URL; '' where they belong in it."""

    url: Url
    """The address; it prints without its secrets."""

    @abstractmethod
    def open(self) -> Opened_co:
        """Return the source or warehouse. Nothing is connected to yet."""

    @classmethod
    def parse(cls, address: str | Url, **defaults: Any) -> Self:
        """Return the connector for an address; `defaults` stand in for options that the address does not give.

        Raises:
            ConfigError: the address has another shape, or an option is unknown, bad, missing or given twice. The
                message names where the address was given, the option, what was expected and what came.

        """
        url = Url.of(address)
        shown = url.showing(cls.mask(url.reveal(), cls.harmless({})))
        values = {**defaults, **_read(cls, shown)}
        for name in missing_options(declared(cls), values):
            [declaration] = [field for field in declared(cls) if field.name == name]
            if declaration.metadata["part"]:
                raise _wrong_shape(cls, shown)
            message = f"{shown.label}: {name}: expected {declaration.metadata['help']}, got nothing"
            raise ConfigError(message)
        return cls(url=url.showing(cls.mask(url.reveal(), cls.harmless(values))), **values)

    @classmethod
    def harmless(cls, values: Mapping[str, Any]) -> Collection[str]:
        """Return the names of options behind `?` that may be printed, given the values of the options so far."""
        del values
        if cls.options_after != "?":
            return ()
        return [
            field.name for field in declared(cls) if not (field.metadata["secret"] or field.metadata["part"])
        ]

    @classmethod
    def mask(cls, text: str, harmless: Collection[str]) -> str:
        """Return what may be printed of an address of this connector."""
        if cls.options_after == "":
            return mask_path(text, cls.separator)
        names = {field.name for field in declared(cls) if not field.metadata["secret"]}
        return mask(text, harmless, user="user" in names, passwords=not cls.credentials)

    def check_client(self) -> None:
        """Raise ConfigError if the client that the connector needs is not installed."""
        if self.client is not None:
            self.client.check(self.url)


def _read(cls: type[Connector[Any]], url: Url) -> dict[str, Any]:
    """Return the values that the address gives: name of a field -> value."""
    _, separator, rest = url.reveal().partition(cls.separator)
    if not separator:
        raise _wrong_shape(cls, url)
    values: dict[str, Any] = {}
    if cls.has_authority:
        rest = _take_credentials(cls, url, rest, values)
    place, pairs = _split_options(cls, url, rest)
    match = cls.place.fullmatch(place)
    if match is None:
        raise _wrong_shape(cls, url)
    for field in declared(cls):
        given = match.groupdict().get(field.name)
        if given:
            values[field.name] = field.metadata["parse"](given, f"{url.label}: {field.name}")
    options = [field for field in declared(cls) if not field.metadata["part"]]
    names = ", ".join(written_name(field) for field in options)
    expected = f"options among {names} behind {cls.options_after}" if names else "no options"
    return values | parse_pairs(options, pairs, url.label, expected)


def _split_options(cls: type[Connector[Any]], url: Url, rest: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the place, and the options' names and values."""
    if cls.options_after == "":
        return rest, []
    before, hash_sign, fragment = rest.partition("#")
    place, _, query = before.partition("?")
    if cls.options_after == "#":
        return place, list(_pairs(url, fragment))
    if hash_sign:
        raise _wrong_shape(cls, url)
    return place, list(_pairs(url, query))


def _pairs(url: Url, text: str) -> Iterator[tuple[str, str]]:
    for pair in filter(None, text.split("&")):
        name, separator, value = pair.partition("=")
        if not separator:
            message = f"{url.label}: expected options as NAME=VALUE, joined by &, got one without ="
            raise ConfigError(message)
        yield unquote(name), unquote(value)


def _take_credentials(cls: type[Connector[Any]], url: Url, rest: str, values: dict[str, Any]) -> str:
    """Put user and password among `values` where they are declared; return what follows them."""
    credentials = split_credentials(rest, passwords=not cls.credentials)
    names = {field.name for field in declared(cls)}
    if credentials.user and "user" not in names:
        message = f"{url.label}: expected no user or password in the URL; {cls.credentials}"
        raise ConfigError(message)
    if credentials.password is not None and "password" not in names:
        message = f"{url.label}: expected no password in the URL; {cls.credentials}"
        raise ConfigError(message)
    if credentials.ambiguous:
        message = f"{url.label}: expected {cls.shape}, with user, password and options percent-encoded"
        raise ConfigError(message)
    if credentials.user:
        values["user"] = unquote(credentials.user)
    if credentials.password:
        values["password"] = unquote(credentials.password)
    return credentials.rest


def _wrong_shape(cls: type[Connector[Any]], url: Url) -> ConfigError:
    return ConfigError(f"{url.prefix}expected {cls.shape}, got {str(url)!r}")


def choose(
    connectors: Mapping[str, type[Connector[Opened_co]]], url: Url, *, otherwise: str = ""
) -> type[Connector[Opened_co]]:
    """Return the connector for the scheme of `url`; `otherwise` is the scheme of what has none.

    Raises:
        ConfigError: no connector has this scheme.

    """
    text = url.reveal()
    for scheme, connector in connectors.items():
        if text.startswith(f"{scheme}{connector.separator}"):
            return connector
    if otherwise and not _WITH_SCHEME.match(text):
        return connectors[otherwise]
    known = ", ".join(f"{scheme}{connectors[scheme].separator}" for scheme in sorted(connectors))
    # A text such as `host=h password=p` is an address in another language.
    shown = str(url) if "://" in text or _WORD.fullmatch(text) else HIDDEN
    message = (
        f"{url.prefix}expected {'a path or ' if otherwise else ''}a URL with one of {known}, got {shown!r}"
    )
    raise ConfigError(message)


@dataclass(frozen=True, slots=True)
class ConnectorDescription:
    """What listings and documentation say of a connector."""

    schemes: tuple[str, ...]
    shape: str
    summary: str
    extra: str
    """The extra that installs its client; '' if it needs none."""
    installed: bool
    """Its client can be found in this installation."""
    options_after: str
    """The character that options stand behind: `?` or `#`; '' if there are none."""
    parts: tuple[OptionDescription, ...]
    """What stands before the options."""
    options: tuple[OptionDescription, ...]


def describe(connector: type[Connector[Any]]) -> ConnectorDescription:
    """Return what listings and documentation say of a connector."""
    described = [(field.metadata["part"], describe_option(field)) for field in declared(connector)]
    return ConnectorDescription(
        schemes=connector.schemes,
        shape=connector.shape,
        summary=(connector.__doc__ or "").partition("\n")[0],
        extra=connector.client.extra if connector.client is not None else "",
        installed=connector.client is None or connector.client.is_installed(),
        options_after=connector.options_after,
        parts=tuple(description for part, description in described if part),
        options=tuple(description for part, description in described if not part),
    )
