"""What may be printed of the addresses of sources, stores and warehouses.

What is printed of an address is its scheme, host and path, and those options that a declaration calls harmless.
User, password and all else of the query and the fragment are never printed. Of an address that cannot be taken apart
without doubt only the scheme is.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import NamedTuple
from urllib.parse import unquote

STANDARD_INPUT = "-"
"""The address of what the process reads as its standard input."""

_HOSTS = re.compile(r"(\[[^\[\]@]*\]|[^:,\[\]@]*)(:\d*)?(,(\[[^\[\]@]*\]|[^:,\[\]@]*)(:\d*)?)*")
_REST = re.compile(r"[^\s'\"<>]+")
"""What follows `://` in the text of others."""

_IN_SCHEMES = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+.-")
_SCHEME = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]+:")
"""At least two letters: one is a drive."""

_SCHEMES = re.compile(r"\s*(?:[A-Za-z][A-Za-z0-9+.-]*:)?[A-Za-z][A-Za-z0-9+.-]*")
"""A scheme, such as `s3`, or one that has an address of its own behind it, such as `dead-letters:s3`."""

_OPTIONS = re.compile(r"[?;#]")
"""What options or parameters stand behind."""

_WHOLE = re.compile(r"\s*(?:[A-Za-z][A-Za-z0-9+.-]*:)?[A-Za-z][A-Za-z0-9+.-]*://")
"""The beginning of a text that is an address and nothing else."""

_BEFORE_PASSWORD = re.compile(r"[^/\\:]*:")

_SECRET_VALUE = re.compile(
    r"((?:password|passwd|passphrase|pwd|secret|token|api_?key|access_?key|signature|sig|credentials?)\s*=)[^;&/\s]+",
    re.IGNORECASE,
)
"""Options in a text that is no address, such as `Server=h;Password=p` of other tools."""

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
    # `user:12/secret@host` looks like a port and a path; options aside, it is shown as neither. Nor is `user:secret`,
    # whose port is no number.
    if (
        credentials.ambiguous
        or split_credentials(_place(rest)).ambiguous
        or not _HOSTS.fullmatch(_authority(credentials.rest))
    ):
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
    doubtful = credentials.ambiguous or not _HOSTS.fullmatch(_authority(credentials.rest))
    return f"{scheme}{separator}" + ("" if doubtful else _without_options(credentials.rest))


def _mask_opaque(text: str) -> str:
    """Return what may be printed of a text without `://`: a local path as it is, of all else the scheme alone."""
    if text.startswith("//"):
        return text if "@" not in text and _HOSTS.fullmatch(_authority(text[2:])) else HIDDEN
    text = _SECRET_VALUE.sub(rf"\1{HIDDEN}", text)
    prefix = _SCHEME.match(text)
    if prefix is None:
        return HIDDEN if _has_password(text) else text
    rest = text[prefix.end() :]
    return text if rest[:1] in ("/", ".", "\\") and _RESERVED.isdisjoint(rest) else prefix[0]


def mask_addresses(text: str) -> str:
    """Return a text of others, such as a traceback, with the addresses in it masked."""
    parts = []
    at = 0
    while (mark := text.find("://", at)) >= 0:
        start = mark
        while start > at and text[start - 1] in _IN_SCHEMES:
            start -= 1
        scheme = text[start:mark].lstrip("0123456789+.-")
        rest = _REST.match(text, mark + 3) if scheme else None
        start = mark - len(scheme)
        end = mark + 3 if rest is None else rest.end()
        parts.append(text[at:start])
        parts.append(text[start:end] if rest is None else mask(text[start:end]))
        at = end
    return "".join((*parts, text[at:]))


def mask_text(text: str) -> str:
    """Return a text that somebody gave where something else was expected, with the secrets of an address masked."""
    if _WHOLE.match(text) or text.startswith("//"):
        return mask(text)
    if _has_password(text):
        return HIDDEN
    return _SECRET_VALUE.sub(rf"\1{HIDDEN}", mask_addresses(text))


def mask_flags(arguments: Iterable[str]) -> str:
    """Return the names of flags that nobody knows: what follows them may be a secret. Without a flag, all words."""
    words = list(arguments)
    flags = [word for word in words if word.startswith("-")]
    names = [word.partition("=")[0] if word.startswith("--") else word[:2] for word in flags]
    return " ".join(names or map(mask_text, words))


def mask_given(message: str, arguments: Iterable[str]) -> str:
    """Return a message of a library about a command line, with the addresses that the command line holds masked."""
    for argument in arguments:
        for text in (argument, argument.partition("=")[2]):
            shown = mask_text(text)
            if shown != text:
                message = message.replace(repr(text), repr(shown)).replace(text, shown)
    return message


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
    hosts = _authority(rest)
    end, last = hosts.rfind("@"), rest.rfind("@")
    before = hosts[: end if end >= 0 else len(hosts)]
    may_hide_password = ":" in before and (passwords or end >= 0 or not _HOSTS.fullmatch(hosts))
    ambiguous = last > end and may_hide_password
    if ambiguous:
        end = last
    user, colon, password = rest[: max(end, 0)].partition(":")
    return Credentials(user, password if colon else None, rest[end + 1 :], ambiguous)


def _has_password(text: str) -> bool:
    """Tell whether a text without a scheme begins with a user and a password."""
    user = _BEFORE_PASSWORD.match(text)
    return user is not None and text.rfind("@") >= user.end()


def _authority(rest: str) -> str:
    """Return what stands before the path, the query and the fragment."""
    return rest[: next((at for at, character in enumerate(rest) if character in "/?#"), len(rest))]


def _place(rest: str) -> str:
    """Return what stands before query, fragment and parameters."""
    return _without_options(rest.partition("#")[0].partition("?")[0])


def _without_options(text: str) -> str:
    """Return a path without what looks like options behind a part of it: `?`, `;` or `#`, and then `=`."""
    start = 0
    for part in text.split("/"):
        mark = _OPTIONS.search(part)
        if mark is not None and part.rfind("=") > mark.start():
            return text[: start + mark.start()]
        start += len(part) + 1
    return text


def _name(pair: str) -> str:
    """Return the name of an option up to its first dot; '' if it has no value."""
    name, separator, _ = pair.partition("=")
    return unquote(name).partition(".")[0] if separator else ""


def _mask_option(pair: str) -> str:
    """Return an option whose value may itself be an address, which is masked as well."""
    name, _, value = pair.partition("=")
    address = unquote(value)
    return f"{name}={mask(address)}" if "://" in address else pair
