"""Redirects stay on the server of the API, answers within their limits, and pauses are as Retry-After says."""

from __future__ import annotations

import gzip
import json
import zlib
from datetime import UTC, datetime

import pytest
import zstandard
from sluice.sources.http_api.client import retry_after

from devservers.http_api import HttpRequest, HttpResponse
from tests.sources.http_api.api_fixture import EVENTS, USERS, error_of, ok, read, serve, users

BODY = json.dumps(EVENTS).encode()
GZIP = {"Content-Encoding": "gzip"}


def redirect(location: str) -> HttpResponse:
    return HttpResponse(302, b"", {"Location": location})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_on_the_server_is_followed(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def respond(request: HttpRequest) -> HttpResponse:
        if request.path == "/logs":
            return HttpResponse(status, b"", {"Location": "/v2/logs?page=1#top"})
        if request.query.get("page") == "1":
            return ok({"data": EVENTS[:10], "next": "?page=2"})
        return ok({"data": EVENTS[10:], "next": None})

    monkeypatch.setenv("SHOP_TOKEN", "s3cret")
    with serve(respond) as server:
        assert users(read(server.url + "#token=SHOP_TOKEN")) == USERS
    assert [request.target for request in server.requests] == ["/logs", "/v2/logs?page=1", "/v2/logs?page=2"]
    assert {request.headers["Authorization"] for request in server.requests} == {"Bearer s3cret"}


def test_allowed_server_gets_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "s3cret")
    with serve(lambda _: ok(EVENTS)) as cdn, serve(lambda _: redirect(cdn.url)) as server:
        allowed = cdn.url.removesuffix("/logs")
        assert users(read(f"{server.url}#token=SHOP_TOKEN&servers=https://other.example,{allowed}")) == USERS
    assert "Authorization" not in cdn.requests[0].headers
    assert server.requests[0].headers["Authorization"] == "Bearer s3cret"


@pytest.mark.parametrize(
    ("location", "message"),
    [
        (
            "http://localhost:1/x?key=1",
            "redirect: expected the next page on the same server, got http://localhost:1/x; #servers= allows others",
        ),
        ("//other.example", "redirect: expected the next page on the same server, got http://other.example;"),
        ("file:///etc/passwd", "redirect: expected the URL of a page, got 'file:///etc/passwd'"),
        ("http://[::1", "redirect: expected the URL of a page, got another Location"),
        ("http://u:p@127.0.0.1/", "redirect: expected a URL without user and password, got one of 127.0.0.1"),
        ("/logs", "expected an answer, got 11 redirects in a row"),
    ],
)
def test_redirect_elsewhere_is_an_error(location: str, message: str) -> None:
    assert error_of(lambda _: redirect(location)).startswith(f"URL: {message}")


@pytest.mark.parametrize("status", [300, 302, 304])
def test_status_without_location_is_no_redirect(status: int) -> None:
    assert error_of(lambda _: HttpResponse(status)).startswith(f"URL: expected status 200, got {status} ")


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (gzip.compress(BODY), GZIP),
        (gzip.compress(BODY[:90]) + gzip.compress(BODY[90:]), GZIP),
        (gzip.compress(BODY), {"Content-Encoding": "X-GZIP"}),
        (BODY, GZIP),
        (BODY, {"Content-Encoding": "identity"}),
        (gzip.compress(BODY), {"Content-Type": "application/gzip"}),
        (zstandard.compress(BODY), {}),
        (gzip.compress(gzip.compress(BODY)), GZIP),
        (BODY.decode().encode("utf-16"), {}),
        (BODY.decode().encode("utf-16-be"), {"Content-Type": "application/json; charset=utf-16"}),
        (b"\xef\xbb\xbf" + BODY, {}),
        (b"".join(b"\x1e%b\n" % json.dumps(record).encode() for record in EVENTS), {}),
        (b"".join(json.dumps(record).encode() for record in EVENTS), {}),
    ],
)
def test_packed_and_encoded_answers_are_read(body: bytes, headers: dict[str, str]) -> None:
    with serve(lambda _: HttpResponse(200, body, headers)) as server:
        assert users(read(server.url)) == USERS


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize("charset", ["iso-8859-1", "Windows-1252", '"latin-1"'])
def test_charset_counts_if_the_body_is_not_in_utf8(charset: str, encoding: str) -> None:
    headers = {"Content-Type": f"application/json; charset={charset}"}
    text = '[{"name":"Zoë"}]'
    with serve(lambda _: HttpResponse(200, text.encode(encoding), headers)) as server:
        [batch] = read(server.url)
    assert batch.records == [text[1:-1].encode()]


@pytest.mark.parametrize(
    ("body", "headers", "query", "message"),
    [
        (
            b"x",
            {"Content-Encoding": "br"},
            "",
            "expected an answer with Content-Encoding gzip or none, got 'br'",
        ),
        (
            gzip.compress(gzip.compress(BODY)),
            {"Content-Encoding": "gzip, gzip"},
            "",
            "expected an answer with Content-Encoding gzip or none, got 'gzip, gzip'",
        ),
        (
            zlib.compress(BODY),
            {"Content-Encoding": "deflate"},
            "",
            "expected an answer with Content-Encoding gzip or none, got 'deflate'",
        ),
        (
            gzip.compress(b"[" + b" " * 200_000_000 + b"]"),
            GZIP,
            "",
            "expected an answer of at most 128000000 bytes, got more; set #max_page=",
        ),
        (
            b"[" + b" " * 1000 + b"]",
            {},
            "#max_page=1kB",
            "expected an answer of at most 1000 bytes, got more; set #max_page=",
        ),
        (gzip.compress(BODY)[:-9], GZIP, "#retry_for=0s", "cannot decompress gzip at byte "),
        (b"PK\x03\x04" + b"\0" * 99, {}, "", "expected JSON or CSV, got a zip archive; unpack it"),
    ],
)
def test_answer_beyond_its_limits_is_an_error(
    body: bytes, headers: dict[str, str], query: str, message: str
) -> None:
    assert error_of(lambda _: HttpResponse(200, body, headers), query).startswith(f"URL: {message}")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        (" 120 ", 120.0),
        ("0", 0.0),
        ("9" * 400, float("inf")),
        ("Fri, 10 Jan 2025 10:00:30 GMT", 30.0),
        ("Friday, 10-Jan-25 10:00:30 GMT", 30.0),
        ("Fri Jan 10 10:00:30 2025", 30.0),
        ("Fri, 10 Jan 2020 10:00:30 GMT", 0.0),
        *[(header, None) for header in ("", "soon", "-5", "1.5", "7, 8", "0x10", "1e3", "²", "10 Jan 2025")],
        ("Fri, 32 Jan 2025 10:00:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str, seconds: float | None) -> None:
    assert retry_after(header, datetime(2025, 1, 10, 10, tzinfo=UTC).timestamp()) == seconds
