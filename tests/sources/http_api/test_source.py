"""Requests, retries and stored pages of the API source against an HTTP server that fails and throttles."""

from __future__ import annotations

import json
import re
import threading
from email.utils import formatdate
from pathlib import Path

import pytest
from sluice.errors import ConfigError, SourceError
from sluice.sources import open_source
from sluice.sources.http_api.connector import HttpConnector
from sluice.sources.http_api.source import read_api

from devservers.http_api import HttpRequest, HttpResponse
from tests.live.job_fixture import figures, rows, run_job
from tests.sources.http_api.api_fixture import (
    DAY,
    EVENTS,
    NOW,
    USERS,
    by_cursor,
    ok,
    read,
    serve,
    users,
)


def test_transient_failure_is_retried() -> None:
    failures: dict[int, HttpResponse] = {
        1: HttpResponse(503),
        2: HttpResponse(429, b"", {"Retry-After": "7"}),
        4: HttpResponse(0),
        5: HttpResponse(200, b"[]", {"Content-Length": "1000"}),
        6: HttpResponse(503, b"", {"Retry-After": formatdate(0, usegmt=True)}),
    }

    def answer(request: HttpRequest) -> HttpResponse:
        return failures.get(request.number) or by_cursor(request)

    pauses: list[float] = []
    with serve(answer) as server:
        assert users(read(server.url, pauses)) == USERS
    assert len(server.requests) == 8
    assert pauses[1] == 7
    assert len(pauses) == 5
    assert pauses[4] == 0
    assert all(0 <= pause <= 30 for pause in pauses)


def test_permanent_failure_ends_the_run() -> None:
    with serve(lambda _: HttpResponse(503, b"", {"Retry-After": "400"})) as server:
        message = f"{server.url}: expected status 200, got 503 Service Unavailable; tried for 300 s"
        with pytest.raises(SourceError, match=f"(?m)^{re.escape(message)}$"):
            read(server.url)
    assert len(server.requests) == 1
    with (
        serve(lambda _: HttpResponse(401)) as server,
        pytest.raises(SourceError, match="(?m)got 401 Unauthorized$"),
    ):
        read(server.url)
    assert len(server.requests) == 1
    with pytest.raises(SourceError, match="expected an answer, got ConnectError: .*; tried for 0 s"):
        read(server.url + "#retry_for=0s")


def test_slow_answer_is_retried() -> None:
    wait = threading.Event()

    def answer(request: HttpRequest) -> HttpResponse:
        if request.number == 0:
            wait.wait(30)
        return ok(EVENTS)

    with serve(answer) as server:
        assert users(read(server.url + "#timeout=200ms")) == USERS
        wait.set()


def test_token_is_sent_only_to_its_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "s3cret")
    with serve(by_cursor) as server:
        read(server.url + "#token=SHOP_TOKEN")
    assert {request.headers["Authorization"] for request in server.requests} == {"Bearer s3cret"}
    with serve(lambda _: ok({"data": EVENTS, "next": "http://example.org/logs"})) as server:
        message = (
            f"{server.url}: next: expected the next page on the same server, got http://example.org/logs;"
            " #servers= allows others"
        )
        with pytest.raises(SourceError, match=f"(?m)^{re.escape(message)}$"):
            read(server.url + "#token=SHOP_TOKEN")
    monkeypatch.delenv("SHOP_TOKEN")
    with pytest.raises(
        ConfigError, match="expected a bearer token in the environment variable SHOP_TOKEN, got nothing"
    ):
        open_source("https://host/logs#token=SHOP_TOKEN").check()
    with pytest.raises(ConfigError) as caught:
        open_source("https://host/logs#token=s3cret").check()
    assert str(caught.value) == (
        "https://host/logs: expected a bearer token in the environment variable that #token= names, got nothing"
    )


def test_secrets_of_the_query_are_masked() -> None:
    with serve(lambda _: ok(EVENTS[:1])) as server:
        [batch] = read(server.url + "?api_key=s3cret&since=2025-01-10&limit=9")
        [shown] = read(server.url + "?api_key=s3cret&since=2025-01-10&limit=9#show=since,shop")
    assert "api_key=s3cret" in server.requests[0].target
    assert batch.provenance.uri == f"{server.url}?limit=9"
    assert shown.provenance.uri == f"{server.url}?since=2025-01-10&limit=9"
    assert "s3cret" not in str(batch.origin(0))


def test_stored_pages_are_not_requested_again(tmp_path: Path) -> None:
    def broken(request: HttpRequest) -> HttpResponse:
        return HttpResponse(500) if request.query.get("cursor") == "20" else by_cursor(request)

    with serve(broken) as server:
        url = f"{server.url}#keep={tmp_path}/pages&retry_for=0s"
        with pytest.raises(SourceError, match="cursor=20: expected status 200, got 500"):
            read(url)
        del server.requests[:]
        server.respond = by_cursor
        batches = list(read_api(HttpConnector.parse(url).api, NOW + 86400))
        assert users(batches) == USERS
        assert [batch.arrival for batch in batches] == [DAY, DAY, DAY + 86400]
        assert [request.target for request in server.requests] == [
            "/logs",
            "/logs?cursor=10",
            "/logs?cursor=20",
        ]
        del server.requests[:]
        assert users(read(url)) == USERS
        assert [request.target for request in server.requests] == ["/logs", "/logs?cursor=20"]
        with pytest.raises(
            ConfigError, match=re.escape(f"expected pages of {server.url}?limit=1, got those of {server.url}")
        ):
            read(f"{server.url}?limit=1#keep={tmp_path}/pages")


CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: shop-visit
version: 1.0.0
domain: shop
schema:
  - name: visit
    physicalName: visits
    properties:
      - {name: user_id, logicalType: string, required: true}
"""


def test_some_records_of_an_api_are_those_that_a_run_would_read(tmp_path: Path) -> None:
    """Its pages were kept on an earlier day, by a run that ended in the middle; the records have no event time."""
    pages, folder = tmp_path / "pages", tmp_path / "run"
    contract = tmp_path / "visit.odcs.yaml"
    contract.write_text(CONTRACT)
    folder.mkdir()

    def broken(request: HttpRequest) -> HttpResponse:
        return HttpResponse(500) if request.query.get("cursor") == "20" else by_cursor(request)

    with serve(broken) as server:
        url = f"{server.url}#keep={pages}&retry_for=0s"
        with pytest.raises(SourceError, match="cursor=20: expected status 200, got 500"):
            read(url)
        kept = {path.name: path.read_bytes() for path in pages.iterdir()}
        server.respond = by_cursor
        flags = [f"--contracts={contract}"]
        some = run_job("commerce_logs", url, folder, flags=[*flags, "--limit=15"])
        assert {path.name: path.read_bytes() for path in pages.iterdir()} == kept
        whole = run_job("commerce_logs", url, folder, flags=flags)
    assert figures(some) == (15, 15, 0, 0, True)
    assert figures(whole) == (25, 10, 15, 0, True)
    assert rows(folder, "select count(*), count(distinct user_id) from visits") == [(25, 25)]


def test_no_page_is_requested_for_no_records() -> None:
    with serve(by_cursor) as server:
        assert list(HttpConnector.parse(server.url).open().sample(0)) == []
    assert server.requests == []


def test_new_page_of_a_sample_is_not_kept(tmp_path: Path) -> None:
    with serve(by_cursor) as server:
        batches = list(HttpConnector.parse(f"{server.url}#keep={tmp_path}").open().sample(12))
    assert users(batches) == USERS[:12]
    assert list(tmp_path.iterdir()) == []


def test_records_have_their_place_in_the_reading_and_the_same_id_in_each(tmp_path: Path) -> None:
    def answer(request: HttpRequest) -> HttpResponse:
        pages = [["a", "b"], [], ["a"], ["c", "d", "a"]]
        at = int(request.query.get("cursor", 0))
        following = at + 1 if at + 1 < len(pages) else None
        return ok({"data": [{"user_id": user} for user in pages[at]], "next_cursor": following})

    with serve(answer) as server:
        readings = [
            [
                (json.loads(record)["user_id"], batch.origin(index))
                for batch in read(server.url)
                for index, record in enumerate(batch.records)
            ]
            for _ in range(2)
        ]
    assert [(user, origin.place) for user, origin in readings[0]] == list(
        zip("abacda", range(6), strict=True)
    )
    assert readings[0] == readings[1]
    assert len({origin.message_id for _, origin in readings[0]}) == 4


def test_second_run_over_an_api_adds_nothing(tmp_path: Path) -> None:
    bad = {"user_id": None, "timestamp": "2025-01-10T10:00:00Z", "event_type": "view"}

    def answer(request: HttpRequest) -> HttpResponse:
        at = int(request.query.get("cursor", 0))
        page = [*EVENTS[at : at + 10], *([bad] if at == 10 else [])]
        if request.number % 3 == 1:
            return HttpResponse(429, b"", {"Retry-After": "0"})
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
            "https://host/x: expected options among paging, items, next, cursor, param, first_page, incomplete,"
            " servers, show, token, timeout, retry_for, max_page, snapshot, keep behind #, got 'secret'",
        ),
    ],
)
def test_wrong_address_is_rejected(url: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"(?m)^{re.escape(message)}$"):
        open_source(url)


def test_way_of_paging_is_said_in_the_log_of_a_run_and_a_hint_ends_it(tmp_path: Path) -> None:
    with serve(lambda _: ok({"data": EVENTS, "has_more": True})) as server:
        lines = run_job("commerce_logs", f"{server.url}?key=s3cret", tmp_path, code=1)["error"].splitlines()
    assert [line.partition("sluice: ")[2] for line in lines] == [
        f"{server.url}: records are in the list at data; one page (nothing leads to another)",
        f"{server.url}: has_more: expected the end or a known way to the next page, got true; set #next=, #cursor= or"
        " #paging=, or #incomplete=warn",
    ]
    assert {path.name for path in tmp_path.rglob("*.json")} == {"_log.json"}
