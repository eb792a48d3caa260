"""Addresses of sources, stores and warehouses: a type whose printed form shows no secret.

What is printed of an address is its scheme, host and path, and those options that a declaration calls harmless.
User, password and all else of the query and the fragment are never printed. Of an address that cannot be taken apart
without doubt only the scheme is.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple
from urllib.parse import unquote

_AUTHORITY = re.compile(r"[^/?#]*")
_HOSTS = re.compile(r"(\[[^\[\]@]*\]|[^:,\[\]@]*)(:\d*)?(,(\[[^\[\]@]*\]|[^:,\[\]@]*)(:\d*)?)*")
_ADDRESS = re.compile(r"(?<![A-Za-z0-9+.-])[A-Za-z0-9+.-]++://[^\s'\"<>]+")
"""Begins at the first character that a scheme can have, so that each text is searched once."""
_FLAG_VALUE = re.compile(r"(?<==).*|^[^-].*", re.DOTALL)
"""What follows the first = of a flag, or an argument that is no flag."""
_SCHEME = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]+:")
"""At least two letters: one is a drive."""

_SCHEMES = re.compile(r"\s*(?:[A-Za-z][A-Za-z0-9+.-]*:)?[A-Za-z][A-Za-z0-9+.-]*")
"""A scheme, such as `s3`, or one that has an address of its own behind it, such as `dead-letters:s3`."""

_OPTIONS = re.compile(r"[?;#][^/]*=.*", re.DOTALL)
"""What looks like options or parameters behind a path."""

_USER_AND_PASSWORD = re.compile(r"[^/\\]*:.*@", re.DOTALL)

_RESERVED = frozenset("@?#;")

HIDDEN = "***"
"""What is shown of an address that has no scheme to show."""


class Credentials(NamedTuple):
    """User and password of an address, and what stands behind their `@`."""

    user: str
    password: str | None
    rest: str
    ambiguous: bool
    """An `@`, `/`, `?` or `#` that is not percent-encoded makes it uncertain where the password ends."""


class Url:
    """An address as the user wrote it. `str`, `repr` and `format` show no secret; `reveal` returns all of it.

    `where` says where it was given, such as `jobs/shop.yaml: source` or `--source`, for messages. A pickle carries
    the whole address, because workers connect with it, but not as text that could be read in a log.
    """

    __slots__ = ("_shown", "_text", "where")

    def __init__(self, text: str, *, where: str = "", shown: str | None = None) -> None:
        """Take the whole address; `shown` is what to print of it, if a declaration knows better than `mask`."""
        self._text = text
        self._shown = mask(text) if shown is None else shown
        self.where = where

    @classmethod
    def of(cls, address: str | Url) -> Url:
        """Return `address` as a Url."""
        return cls(address) if isinstance(address, str) else address

    def reveal(self) -> str:
        """Return the whole address, with its secrets: for a client that connects, never for a message."""
        return self._text

    @property
    def label(self) -> str:
        """Where the address was given, and the address without its secrets: the beginning of a message about it."""
        return f"{self.prefix}{self}"

    @property
    def prefix(self) -> str:
        """Where the address was given, with a colon and a space; '' if that is not known."""
        return f"{self.where}: " if self.where else ""

    def child(self, name: str) -> Url:
        """Return the address of a folder in the one at this address."""
        return Url(f"{self._text.rstrip('/')}/{name}", where=self.where)

    def showing(self, shown: str) -> Url:
        """Return the same address that prints as `shown`."""
        return Url(self._text, where=self.where, shown=shown)

    def __str__(self) -> str:
        """Return the address without its secrets."""
        return self._shown

    def __repr__(self) -> str:
        """Return the address without its secrets."""
        return f"Url({self._shown!r})"

    def __format__(self, specification: str) -> str:
        """Format the address without its secrets."""
        return format(self._shown, specification)

    def __eq__(self, other: object) -> bool:
        """Compare whole addresses."""
        return isinstance(other, Url) and self._text == other._text

    def __hash__(self) -> int:
        """Hash the whole address."""
        return hash(self._text)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the address in base64."""
        return _unpickled, (
            base64.b64encode(self._text.encode("utf-8", "surrogateescape")),
            self.where,
            self._shown,
        )


def _unpickled(encoded: bytes, where: str, shown: str) -> Url:
    return Url(base64.b64decode(encoded).decode("utf-8", "surrogateescape"), where=where, shown=shown)


def mask(text: str, harmless: Collection[str] = (), *, user: bool = False, passwords: bool = True) -> str:
    """Return scheme, host and path of an address, and its harmless options.

    Args:
        text: the address. What has no scheme is a local path and is returned as it is.
        harmless: names of options behind `?` that may be shown, or their first part before a dot.
        user: the user's name may be shown.
        passwords: addresses of this kind may hold a password; see `split_credentials`.

    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        return _mask_opaque(text)
    if not _SCHEMES.fullmatch(scheme):
        return HIDDEN
    credentials = split_credentials(rest, passwords=passwords)
    # `user:12/secret@host` looks like a port and a path; options aside, it is shown as neither.
    if credentials.ambiguous or split_credentials(_place(rest)).ambiguous:
        return f"{scheme}://"
    query = credentials.rest.partition("#")[0].partition("?")[2]
    name = f"{credentials.user}@" if user and credentials.user else ""
    return f"{scheme}://{name}{_place(credentials.rest)}{mask_query(query, harmless)}"


def mask_path(text: str, separator: str) -> str:
    """Return what may be printed of an address without options, in whose path `?` and `#` are usual characters.

    What looks like options all the same, as those of a signed URL, is left out.
    """
    scheme, separator, rest = text.partition(separator)
    if not separator or not _SCHEMES.fullmatch(scheme):
        return mask(text)
    credentials = split_credentials(rest)
    return f"{scheme}{separator}" + ("" if credentials.ambiguous else _OPTIONS.sub("", credentials.rest))


def _mask_opaque(text: str) -> str:
    """Return what may be printed of a text without `://`: a local path as it is, of all else the scheme alone."""
    if text.startswith("//"):
        return HIDDEN if "@" in text else text
    prefix = _SCHEME.match(text)
    if prefix is None:
        return HIDDEN if _USER_AND_PASSWORD.match(text) else text
    rest = text[prefix.end() :]
    return text if rest[:1] in ("/", ".", "\\") and _RESERVED.isdisjoint(rest) else prefix[0]


def mask_addresses(text: str) -> str:
    """Return a text of others, such as a traceback, with the addresses in it masked."""
    return _ADDRESS.sub(lambda address: mask(address[0]), text)


def mask_arguments(arguments: Iterable[str]) -> str:
    """Return arguments of a command line, such as `--source=URL`, with the addresses in them masked."""
    return " ".join(
        _FLAG_VALUE.sub(lambda value: mask(value[0]), argument, count=1) for argument in arguments
    )


def mask_query(query: str, harmless: Collection[str]) -> str:
    """Return the harmless options of a query, with the `?` before them; '' if there are none."""
    shown = "&".join(
        _mask_option(pair) for pair in query.split("&") if (name := _name(pair)) and name in harmless
    )
    return f"?{shown}" if shown else ""


def split_credentials(rest: str, *, passwords: bool = True) -> Credentials:
    """Split what stands behind `://` into user, password and the rest.

    A password that is not percent-encoded may hold any character, so its end is uncertain where an `@` follows
    behind the authority. Then all up to the last `@` is taken for user and password, and `ambiguous` is set: nothing of
    such an address may be printed but its scheme.
    `passwords` is False for addresses without passwords, such as those of JSON APIs: there `host:80/x?to=a@b` has none.
    """
    authority = _AUTHORITY.match(rest)
    hosts = authority[0] if authority is not None else ""
    end, last = hosts.rfind("@"), rest.rfind("@")
    before = hosts[: end if end >= 0 else len(hosts)]
    may_hide_password = ":" in before and (passwords or end >= 0 or not _HOSTS.fullmatch(hosts))
    ambiguous = last > end and may_hide_password
    if ambiguous:
        end = last
    user, colon, password = rest[: max(end, 0)].partition(":")
    return Credentials(user, password if colon else None, rest[end + 1 :], ambiguous)


def _place(rest: str) -> str:
    """Return what stands before query, fragment and parameters."""
    return _OPTIONS.sub("", rest.partition("#")[0].partition("?")[0])


def _name(pair: str) -> str:
    """Return the name of an option up to its first dot; '' if it has no value."""
    name, separator, _ = pair.partition("=")
    return unquote(name).partition(".")[0] if separator else ""


def _mask_option(pair: str) -> str:
    """Return an option whose value may itself be an address, which is masked as well."""
    name, _, value = pair.partition("=")
    address = unquote(value)
    return f"{name}={mask(address)}" if "://" in address else pair
