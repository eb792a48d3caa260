"""The API source against a real HTTP server that fails, throttles and repeats pages."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from sluice.elements import RecordBatch
from sluice.errors import ConfigError, SourceError
from sluice.sources import open_source
from sluice.sources.http_api.connector import HttpConnector
from sluice.sources.http_api.source import next_link, read_api

from tests.live.job_fixture import figures, rows, run_job
from tests.origins import message_ids_of

NOW = 1_736_503_200.0  # 2025-01-10T10:00:00Z
DAY = 1_736_467_200.0

Answer = tuple[int, dict[str, str], bytes]
"""Status, headers, body; status 0 breaks the connection."""


@dataclass
class Server:
    """An API on a loopback port; `answer` is asked for each request, by its number, from 0, and its query."""

    answer: Callable[[int, dict[str, str]], Answer]
    url: str = ""
    requests: list[tuple[str, str]] = field(default_factory=list)
    """Path with query, and the Authorization header."""


@contextmanager
def serve(answer: Callable[[int, dict[str, str]], Answer]) -> Iterator[Server]:
    server = Server(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
            server.requests.append((self.path, self.headers.get("Authorization", "")))
            status, headers, body = server.answer(len(server.requests) - 1, query)
            if status:
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{listener.server_address[1]}/logs"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()


def event(number: int) -> dict[str, str]:
    return {
        "user_id": f"U{number}",
        "timestamp": f"2025-01-10T10:{number % 60:02d}:00Z",
        "event_type": "view",
    }


EVENTS = [event(number) for number in range(25)]


def ok(value: object, **headers: str) -> Answer:
    return 200, {name.replace("_", "-"): text for name, text in headers.items()}, json.dumps(value).encode()


def read(url: str, pauses: list[float] | None = None) -> list[RecordBatch]:
    return list(
        read_api(HttpConnector.parse(url).api, NOW, sleep=(pauses if pauses is not None else []).append)
    )


def users(batches: list[RecordBatch]) -> list[str]:
    return [json.loads(record)["user_id"] for batch in batches for record in batch.records]


ALL = [each["user_id"] for each in EVENTS]


def by_page(_: int, query: dict[str, str]) -> Answer:
    page = int(query.get("page", 1))
    return ok({"page": page, "data": EVENTS[(page - 1) * 10 : page * 10]})


def by_offset(_: int, query: dict[str, str]) -> Answer:
    at = int(query["offset"])
    return ok(EVENTS[at : at + 10])


def by_cursor(_: int, query: dict[str, str]) -> Answer:
    at = int(query.get("cursor", 0))
    return ok({"items": EVENTS[at : at + 10], "next_cursor": str(at + 10) if at + 10 < len(EVENTS) else None})


def by_url(_: int, query: dict[str, str]) -> Answer:
    at = int(query.get("from", 0))
    return ok({"results": EVENTS[at : at + 10], "next": f"/logs?from={at + 10}" if at < 20 else ""})


def by_link(_: int, query: dict[str, str]) -> Answer:
    at = int(query.get("at", 0))
    link = (
        {"Link": f'</logs?at=0>; rel="first", </logs?at={at + 10}>; title="a, b"; rel="next"'}
        if at < 20
        else {}
    )
    return ok(EVENTS[at : at + 10], **link)


def more(_: int, query: dict[str, str]) -> Answer:
    page = int(query["p"])
    if page > 3:
        return 404, {}, b"{}"
    return ok({"logs": EVENTS[(page - 1) * 10 : page * 10], "has_more": page < 3})


@pytest.mark.parametrize(
    ("answer", "query", "requests"),
    [
        (by_page, "?page=1", 4),
        (by_page, "#paging=page", 4),
        (by_offset, "?limit=10&offset=0", 4),
        (by_cursor, "", 3),
        (by_cursor, "#paging=cursor&next=next_cursor&param=cursor&items=items", 3),
        (by_url, "", 3),
        (by_link, "", 3),
        (more, "?p=1#paging=page&param=p", 3),
        (lambda *_: ok(EVENTS), "", 1),
    ],
)
def test_pages(answer: Callable[[int, dict[str, str]], Answer], query: str, requests: int) -> None:
    with serve(answer) as server:
        batches = read(server.url + query)
    assert users(batches) == ALL
    assert len(server.requests) == requests
    assert {batch.arrival for batch in batches} == {DAY}
    origin = batches[0].origin(0)
    assert origin.uri == server.url + query.partition("#")[0]
    assert origin.attributes["page"].startswith(server.url)


def test_records_are_byte_by_byte_what_came() -> None:
    body = b'{"data": [ {"a":  1.10, "b":"\\u00e9"} , 7,{"c":[ ]}]}'
    with serve(lambda *_: (200, {}, body)) as server:
        [batch] = read(server.url)
    assert batch.records == [b'{"a":  1.10, "b":"\\u00e9"}', b"7", b'{"c":[ ]}']
    assert len(set(message_ids_of(batch))) == 3


@pytest.mark.parametrize(
    ("body", "records"),
    [
        (b"[]", []),
        (b"", []),
        (b'{"data":null}', []),
        (b'{"data":{"items":[1]}}', [b"1"]),
        (b'{"total":1,"rows":[1]}', [b"1"]),
        (b'{"user_id":"U1"}', [b'{"user_id":"U1"}']),
        (b"\xef\xbb\xbf[1]", [b"1"]),
        (b"[{'a':1}, {\"b\":2}]", [b"{'a':1}", b'{"b":2}']),
        (b'{"a":1}\n{"b":2}\n', [b'{"a":1}', b'{"b":2}']),
        (b'{"data":[{"a":1},', [b'{"data":[{"a":1},']),
        (b"oops", [b"oops"]),
    ],
)
def test_odd_and_damaged_bodies(body: bytes, records: list[bytes]) -> None:
    with serve(lambda *_: (200, {}, body)) as server:
        batches = read(server.url)
    assert [record for batch in batches for record in batch.records] == records


def test_a_damaged_page_does_not_stop_page_numbers() -> None:
    def answer(number: int, query: dict[str, str]) -> Answer:
        return (200, {}, b'[{"user_id": "U10",}, oops]') if query["page"] == "2" else by_page(number, query)

    with serve(answer) as server:
        batches = read(server.url + "?page=1")
    assert [len(batch.records) for batch in batches] == [10, 2, 5]


def test_what_passes_is_tried_again() -> None:
    failures: dict[int, Answer] = {
        1: (503, {}, b""),
        2: (429, {"Retry-After": "7"}, b""),
        4: (0, {}, b""),
        5: (200, {"Content-Length": "1000"}, b"[]"),
        6: (503, {"Retry-After": formatdate(0, usegmt=True)}, b""),
    }

    def answer(number: int, query: dict[str, str]) -> Answer:
        return failures.get(number) or by_cursor(number, query)

    pauses: list[float] = []
    with serve(answer) as server:
        assert users(read(server.url, pauses)) == ALL
    assert len(server.requests) == 8
    assert pauses[1] == 7
    assert len(pauses) == 5
    assert pauses[4] == 0
    assert all(0 <= pause <= 30 for pause in pauses)


def test_what_does_not_pass_ends_the_run() -> None:
    with serve(lambda *_: (503, {"Retry-After": "400"}, b"")) as server:
        message = f"{server.url}: expected status 200, got 503 Service Unavailable; tried for 300 s"
        with pytest.raises(SourceError, match=f"(?m)^{re.escape(message)}$"):
            read(server.url)
    assert len(server.requests) == 1
    with (
        serve(lambda *_: (401, {}, b"")) as server,
        pytest.raises(SourceError, match="(?m)got 401 Unauthorized$"),
    ):
        read(server.url)
    assert len(server.requests) == 1
    with pytest.raises(SourceError, match="expected an answer, got ConnectError: .*; tried for 0 s"):
        read(server.url + "#retry_for=0s")


def test_a_slow_answer_is_given_up() -> None:
    wait = threading.Event()

    def answer(number: int, query: dict[str, str]) -> Answer:
        if number == 0:
            wait.wait(30)
        return ok(EVENTS)

    with serve(answer) as server:
        assert users(read(server.url + "#timeout=200ms")) == ALL
        wait.set()


def test_repeated_pages_are_read_as_they_come() -> None:
    def answer(number: int, query: dict[str, str]) -> Answer:
        return by_page(number, {"page": str({2: 1}.get(int(query["page"]), int(query["page"])))})

    with serve(answer) as server:
        batches = read(server.url + "?page=1")
    assert users(batches) == [*ALL[:10], *ALL[:10], *ALL[20:]]
    assert message_ids_of(batches[0]) == message_ids_of(batches[1])


def test_circles_are_noticed() -> None:
    def circle(_: int, query: dict[str, str]) -> Answer:
        return ok(
            {
                "data": [query.get("cursor", "a")],
                "next_cursor": {"b": "c", "c": "b"}.get(query.get("cursor", ""), "b"),
            }
        )

    with serve(circle) as server:
        message = f"{server.url}?cursor=c: expected a new page to follow, got one that was read: {server.url}?cursor=b"
        with pytest.raises(SourceError, match=f"(?m)^{re.escape(message)}$"):
            read(server.url)
    with serve(lambda *_: ok(EVENTS)) as server:
        message = f"{server.url}?page=11: expected another page, got the same 11 times; check #paging="
        with pytest.raises(SourceError, match=f"(?m)^{re.escape(message)}$"):
            read(server.url + "?page=1")
    with serve(lambda *_: ok({"data": EVENTS, "next_cursor": "z"})) as server:
        assert users(read(server.url)) == ALL + ALL  # the last page leads to itself


def test_a_token_goes_to_its_server_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "s3cret")
    with serve(by_cursor) as server:
        read(server.url + "#token=SHOP_TOKEN")
    assert {token for _, token in server.requests} == {"Bearer s3cret"}
    with serve(lambda *_: ok({"data": EVENTS, "next": "http://example.org/logs"})) as server:
        message = f"{server.url}: expected the next page on the same server, got http://example.org/logs"
        with pytest.raises(SourceError, match=f"(?m)^{re.escape(message)}$"):
            read(server.url + "#token=SHOP_TOKEN")
    monkeypatch.delenv("SHOP_TOKEN")
    with pytest.raises(
        ConfigError, match="expected a bearer token in the environment variable SHOP_TOKEN, got nothing"
    ):
        open_source("https://host/logs#token=SHOP_TOKEN").check()


def test_secrets_of_the_query_are_not_shown() -> None:
    with serve(lambda *_: ok(EVENTS[:1])) as server:
        [batch] = read(server.url + "?api_key=s3cret&since=2025-01-10&limit=9")
        [shown] = read(server.url + "?api_key=s3cret&since=2025-01-10&limit=9#show=since,shop")
    assert "api_key=s3cret" in server.requests[0][0]
    assert batch.provenance.uri == f"{server.url}?limit=9"
    assert shown.provenance.uri == f"{server.url}?since=2025-01-10&limit=9"
    assert "s3cret" not in str(batch.origin(0))


def test_kept_pages_are_not_asked_for_again(tmp_path: Path) -> None:
    def broken(number: int, query: dict[str, str]) -> Answer:
        return (500, {}, b"") if query.get("cursor") == "20" else by_cursor(number, query)

    with serve(broken) as server:
        url = f"{server.url}#keep={tmp_path}/pages&retry_for=0s"
        with pytest.raises(SourceError, match="cursor=20: expected status 200, got 500"):
            read(url)
        del server.requests[:]
        server.answer = by_cursor
        batches = list(read_api(HttpConnector.parse(url).api, NOW + 86400))
        assert users(batches) == ALL
        assert [batch.arrival for batch in batches] == [DAY, DAY, DAY + 86400]
        assert [path for path, _ in server.requests] == ["/logs?cursor=10", "/logs?cursor=20"]
        del server.requests[:]
        assert users(read(url)) == ALL
        assert [path for path, _ in server.requests] == ["/logs?cursor=20"]
        with pytest.raises(
            ConfigError, match=re.escape(f"expected pages of {server.url}?limit=1, got those of {server.url}")
        ):
            read(f"{server.url}?limit=1#keep={tmp_path}/pages")


def test_a_last_page_that_has_grown_is_read_again(tmp_path: Path) -> None:
    events = EVENTS[:15]

    def growing(_: int, query: dict[str, str]) -> Answer:
        page = int(query["page"])
        return ok(events[(page - 1) * 10 : page * 10])

    with serve(growing) as server:
        url = f"{server.url}?page=1#keep={tmp_path}"
        assert users(read(url)) == ALL[:15]
        events += EVENTS[15:]
        assert users(read(url)) == [*ALL[:15], *ALL[10:]]
        assert users(read(url)) == [*ALL[:15], *ALL[10:]]


def test_a_job_reads_an_api_twice_and_changes_nothing(tmp_path: Path) -> None:
    bad = {"user_id": None, "timestamp": "2025-01-10T10:00:00Z", "event_type": "view"}

    def answer(number: int, query: dict[str, str]) -> Answer:
        at = int(query.get("cursor", 0))
        page = [*EVENTS[at : at + 10], *([bad] if at == 10 else [])]
        if number % 3 == 1:
            return 429, {"Retry-After": "0"}, b""
        return ok({"data": page, "next_cursor": at + 10 if at < 20 else None})

    with serve(answer) as server:
        source = f"{server.url}#token=SHOP_TOKEN&snapshot=3650d"
        first = run_job("commerce_logs", source, tmp_path, {"SHOP_TOKEN": "s3cret"})
        again = run_job("commerce_logs", source, tmp_path, {"SHOP_TOKEN": "s3cret"})
    assert figures(first) == (26, 25, 0, 1, True)
    assert figures(again) == (26, 0, 25, 1, True)
    assert rows(tmp_path, "select count(*), count(distinct user_id) from customer_logs") == [(25, 25)]
    query = "select code, payload, source.uri, json_extract_string(attributes, '$.page') from dead_letters"
    assert rows(tmp_path, query) == [("missing", json.dumps(bad), server.url, f"{server.url}?cursor=10")]
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"s3cret" in path.read_bytes()]


@pytest.mark.parametrize(
    ("header", "url"),
    [
        ('</a?page=2>; rel="next"', "/a?page=2"),
        ('<a>; rel="prev", <b>; rel="last next"', "b"),
        ("<a>; rel=next", "a"),
        ('<a,b>; title="x"; REL=next', "a,b"),
        ('<a>; rel="prev"', ""),
        ('<a>; title="rel=next"', ""),
        ("", ""),
    ],
)
def test_link_headers(header: str, url: str) -> None:
    assert next_link(httpx.Response(200, headers={"Link": header})) == url


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "https://u:p@host/x",
            "https://host/x: expected no user or password in the URL; name an environment variable with a bearer"
            " token: #token=VARIABLE",
        ),
        (
            "https://host/x#paging=pages",
            "https://host/x: paging: expected one of auto, link, cursor, page, offset, none, got 'pages'",
        ),
        (
            "https://host/x#timeout=3",
            "https://host/x: timeout: expected a duration with its unit, such as 500ms, 10s, 5m, 2h or 7d, got '3'",
        ),
        (
            "https://host/x#secret=1",
            "https://host/x: expected options among paging, items, next, param, show, token, timeout, retry_for,"
            " snapshot, keep behind #, got 'secret'",
        ),
    ],
)
def test_wrong_address_is_rejected(url: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"(?m)^{re.escape(message)}$"):
        open_source(url)


def test_wrong_paths_are_said() -> None:
    with serve(by_cursor) as server:
        with pytest.raises(
            SourceError, match="expected a list of records at 'rows', got an object without it"
        ):
            read(server.url + "#items=rows")
        with pytest.raises(
            SourceError, match="expected JSON that leads to the next page, got a damaged answer"
        ):
            server.answer = lambda *_: (200, {}, b"{")
            read(server.url + "#paging=cursor")
