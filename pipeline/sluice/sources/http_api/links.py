"""Links of an answer: its Link header (RFC 8288), and where a link leads (RFC 3986)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote_plus, urlencode

from sluice.errors import SourceError

if TYPE_CHECKING:
    import httpx

_TARGET = re.compile(r"[\s,]*<([^>]*)>\s*")
_PARAMETER = re.compile(r';\s*(?:([^\s;,="]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?)?\s*')
_SHOWN = 60
"""Characters of a link that is no URL in messages."""

_LAST_PORT = 65535
_DEFAULT_PORTS = {"http": 80, "https": 443}


class BrokenLinkError(ValueError):
    """A Link header that is not as RFC 8288 says."""


def next_links(headers: Iterable[str]) -> list[str]:
    """Return the targets of the links with the relation `next`, among all values of the Link header.

    `httpx.Response.links` does not do: it splits quoted texts at their commas and semicolons, and keeps one link of
    each relation. As RFC 8288 says, the first `rel` of a link counts, it may hold several relations with spaces
    between them, in any case, and a link with an `anchor` belongs to another document.

    Raises:
        BrokenLinkError: a value is no list of links.

    """
    return [target for header in headers for target, relations in _parse(header) if "next" in relations]


def _parse(header: str) -> Iterable[tuple[str, list[str]]]:
    at = 0
    while header[at:].strip(" \t,"):
        link = _TARGET.match(header, at)
        if link is None:
            raise BrokenLinkError(header)
        at = link.end()
        parameters: dict[str, str] = {}
        while parameter := _PARAMETER.match(header, at):
            at = parameter.end()
            quoted, plain = parameter[2], parameter[3]
            value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain or ""
            parameters.setdefault((parameter[1] or "").lower(), value)
        if at < len(header) and header[at] != ",":
            raise BrokenLinkError(header)
        relations = parameters.get("rel", "").lower().split()
        yield link[1], [] if parameters.get("anchor") else relations


def parse_url(text: str) -> httpx.URL:
    """Return an absolute URL of a web server.

    Raises:
        ValueError: it is none; the text says why.

    """
    import httpx

    try:
        url = httpx.URL(text)
        port = url.port
    except (httpx.InvalidURL, ValueError, TypeError) as error:
        raise ValueError(str(error)) from error
    if url.scheme not in _DEFAULT_PORTS or not url.host or port == 0 or (port or 0) > _LAST_PORT:
        message = "not the http or https URL of a server"
        raise ValueError(message)
    return url


def origin(url: httpx.URL) -> tuple[str, str, int]:
    """Return scheme, host and port of a URL."""
    return url.scheme, url.host.rstrip("."), url.port or _DEFAULT_PORTS[url.scheme]


def is_same_server(url: httpx.URL, api: httpx.URL) -> bool:
    """Tell whether a URL is on the server of the API, or on the same host and port with https instead of http.

    The token may be sent there.
    """
    there, here = origin(url), origin(api)
    is_upgrade = here[0] == "http" and there[0] == "https" and here[1] == there[1]
    return there == here or (is_upgrade and (there[2] == here[2] or (here[2], there[2]) == (80, 443)))


def join(base: str, reference: str) -> httpx.URL:
    """Return the URL that a reference leads to, from the absolute URL `base`.

    Raises:
        ValueError: it is not the URL of a web server.

    """
    import httpx

    try:
        # httpx takes what has a scheme and no host, such as http:///x, for a path of the same host.
        if httpx.URL(reference).scheme:
            parse_url(reference)
        return parse_url(str(httpx.URL(base).join(reference))).copy_with(fragment=None)
    except (httpx.InvalidURL, TypeError) as error:
        raise ValueError(str(error)) from error


def resolve(reference: str, base: str, api: str, servers: Collection[str]) -> str:
    """Return the URL that a link or a redirect in the answer of `base` leads to, without its fragment.

    Args:
        reference: the link as it was given.
        base: the absolute URL of the answer.
        api: the first page of the API; a link must not leave its server.
        servers: other servers that a link may lead to, as `https://HOST:PORT`.

    Raises:
        SourceError: it leads to another server, or is no URL. The text says what was expected, and begins with no URL.

    """
    try:
        url = join(base, reference)
    except ValueError as error:
        message = f"expected the URL of a page, got {_clip(reference)}"
        raise SourceError(message) from error
    if url.userinfo:
        message = f"expected a URL without user and password, got one of {url.host}"
        raise SourceError(message)
    allowed = {origin(parse_url(server)) for server in servers}
    if not is_same_server(url, parse_url(api)) and origin(url) not in allowed:
        other = str(url.copy_with(query=None))
        message = f"expected the next page on the same server, got {other}; #servers= allows others"
        raise SourceError(message)
    return str(url)


def _clip(reference: str) -> str:
    """Return the beginning of a link that is no URL, up to where secrets may stand."""
    text = reference.partition("?")[0].partition("#")[0].rpartition("@")[2]
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


def query_of(url: str) -> dict[str, str]:
    """Return the parameters of a URL's query; the last of each name."""
    return dict(parse_qsl(url.partition("#")[0].partition("?")[2], keep_blank_values=True))


def with_param(url: str, name: str, value: str) -> str:
    """Return a URL with another value for a parameter of its query; all else keeps its bytes."""
    place, _, query = url.partition("#")[0].partition("?")
    pairs = [pair for pair in query.split("&") if pair and unquote_plus(pair.partition("=")[0]) != name]
    return f"{place}?{'&'.join([*pairs, urlencode([(name, value)])])}"
