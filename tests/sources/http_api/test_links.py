"""Links of the Link header as RFC 8288 says, and where links lead, as RFC 3986 says."""

from __future__ import annotations

import re

import pytest
from sluice.errors import SourceError
from sluice.sources.http_api.links import (
    BrokenLinkError,
    is_same_server,
    next_links,
    parse_url,
    resolve,
    with_param,
)

API = "http://api.example/v1/logs?page=1"


@pytest.mark.parametrize(
    ("headers", "targets"),
    [
        (['</a?page=2>; rel="next"'], ["/a?page=2"]),
        (['<a>; rel="prev", <b>; rel="last next"'], ["b"]),
        (["<a>; rel=next"], ["a"]),
        (['<a,b>; title="x"; REL=next'], ["a,b"]),
        (["<a>; rel=NEXT"], ["a"]),
        (["<a> ; rel = next ; x"], ["a"]),
        (["<a>; rel=next,<b>; rel=prev", "<c>; rel=next"], ["a", "c"]),
        (['<a>; title="a, b; c=\\"d\\""; rel="next"'], ["a"]),
        (['<a>; title="a=b"; rel="next"'], ["a"]),
        ([",, <a>;rel=next ,"], ["a"]),
        (["<>; rel=next"], [""]),
        (['<a>; rel="prev"'], []),
        (['<a>; rel="next-archive"'], []),
        (['<a>; rel="nextpage previous"'], []),
        (['<a>; rel="http://example.org/next"'], []),
        (['<a>; rel="prev"; rel="next"'], []),
        (['<a>; title="rel=next"'], []),
        (["<a>; rev=next"], []),
        (['<a>; rel=next; anchor="/other"'], []),
        (["<a>"], []),
        ([""], []),
        ([], []),
    ],
)
def test_next_link_is_found_in_the_header(headers: list[str], targets: list[str]) -> None:
    assert next_links(headers) == targets


@pytest.mark.parametrize(
    "header",
    ["<a; rel=next", "a; rel=next", '<a>; rel="next', "<a>; rel=next <b>; rel=prev", "next", "<a> rel=next"],
)
def test_broken_link_header_is_an_error(header: str) -> None:
    with pytest.raises(BrokenLinkError):
        next_links([header])


@pytest.mark.parametrize(
    ("reference", "url"),
    [
        ("?page=2", "http://api.example/v1/logs?page=2"),
        ("/logs?page=2#top", "http://api.example/logs?page=2"),
        ("more", "http://api.example/v1/more"),
        ("../v2/./logs", "http://api.example/v2/logs"),
        ("//api.example/x", "http://api.example/x"),
        ("//API.example:80/x", "http://api.example/x"),
        ("HTTP://Api.Example/x?A=%2F&b=c+d", "http://api.example/x?A=%2F&b=c+d"),
        ("#", "http://api.example/v1/logs?page=1"),
        ("https://api.example/x", "https://api.example/x"),
        ("https://api.example:443/x", "https://api.example/x"),
        ("https://cdn.example:8443/x", "https://cdn.example:8443/x"),
    ],
)
def test_link_leads_to_the_server_of_the_api(reference: str, url: str) -> None:
    assert resolve(reference, API, API, ["https://cdn.example:8443"]) == url


OTHER = "expected the next page on the same server, got {}; #servers= allows others"
NO_URL = "expected the URL of a page, got {}"


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("http://evil.example/x?key=1", OTHER.format("http://evil.example/x")),
        ("//evil.example", OTHER.format("http://evil.example")),
        ("http://api.example.evil.example/", OTHER.format("http://api.example.evil.example/")),
        ("http://api.example:8080/", OTHER.format("http://api.example:8080/")),
        ("https://api.example:8443/", OTHER.format("https://api.example:8443/")),
        ("https://cdn.example/x", OTHER.format("https://cdn.example/x")),
        ("http://[::1]/x", OTHER.format("http://[::1]/x")),
        ("http://user:pass@api.example/", "expected a URL without user and password, got one of api.example"),
        ("http://[::1", NO_URL.format("'http://[::1'")),
        ("http://user:pa/ss@[::1?key=secret", NO_URL.format("'[::1'")),
        ("file:///etc/passwd", NO_URL.format("'file:///etc/passwd'")),
        ("ftp://api.example/x", NO_URL.format("'ftp://api.example/x'")),
        ("javascript:alert(1)", NO_URL.format("'javascript:alert(1)'")),
        ("http://api.example:port/", NO_URL.format("'http://api.example:port/'")),
        ("http:///x", NO_URL.format("'http:///x'")),
        ("http://a\0b/", NO_URL.format(r"'http://a\x00b/'")),
        ("/" + "a" * 70_000, NO_URL.format(f"'/{'a' * 59}…'")),
    ],
)
def test_link_elsewhere_is_an_error(reference: str, message: str) -> None:
    with pytest.raises(SourceError, match=f"(?m)^{re.escape(message)}$"):
        resolve(reference, API, API, ["https://cdn.example:8443"])


@pytest.mark.parametrize(
    ("url", "api", "same"),
    [
        ("http://h/x", "http://h/y", True),
        ("http://h:80/x", "http://H./y", True),
        ("https://h/x", "http://h/y", True),
        ("https://h:8080/x", "http://h:8080/y", True),
        ("http://h/x", "https://h/y", False),
        ("https://h:8443/x", "http://h:8080/y", False),
        ("https://h:8080/x", "http://h/y", False),
        ("http://[::1]/x", "http://[0:0::1]/y", False),
        ("http://h.example/x", "http://h/y", False),
    ],
)
def test_token_goes_to_the_same_server_or_to_its_https(url: str, api: str, same: bool) -> None:
    assert is_same_server(parse_url(url), parse_url(api)) is same


@pytest.mark.parametrize(
    ("url", "changed"),
    [
        ("http://h/x", "http://h/x?page=2+%2F"),
        ("http://h/x?page=1", "http://h/x?page=2+%2F"),
        ("http://h/x?q=a%20b:c&page=1&&key#f", "http://h/x?q=a%20b:c&key&page=2+%2F"),
        ("http://h/x?p%61ge=1&Page=3", "http://h/x?Page=3&page=2+%2F"),
    ],
)
def test_parameter_is_replaced_and_all_else_keeps_its_bytes(url: str, changed: str) -> None:
    assert with_param(url, "page", "2 /") == changed
