"""Kept pages hold no secrets of the URL, and belong to one URL."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sluice.config.urls import Url
from sluice.errors import ConfigError, SourceError
from sluice.sources.http_api.page_cache import Redaction, StoredPage
from sluice.sources.http_api.pages import Page, Rules

from devservers.http_api import HttpRequest, HttpResponse
from tests.growth import LINEAR, growth_of_cpu_time
from tests.sources.http_api.api_fixture import DAY, EVENTS, USERS, event, ok, read, serve, users


def test_secret_is_in_no_kept_page_and_in_every_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "t0ken-value")

    def respond(request: HttpRequest) -> HttpResponse:
        if request.query.get("api_key") != "s3/cret key" or request.number == 2:
            return HttpResponse(501)
        at = int(request.query.get("at", 0))
        link = f"/logs?api_key=s3%2Fcret+key&at={at + 10}"
        echo = {"token": "t0ken-value", "self": "/logs?api_key=s3%2Fcret%20key"}
        return ok(
            {"data": EVENTS[at : at + 10], "echo": echo},
            **({"Link": f"<{link}>; rel=next"} if at < 20 else {}),
        )

    with serve(respond) as server:
        url = f"{server.url}?api_key=s3%2Fcret+key#keep={tmp_path}&token=SHOP_TOKEN&incomplete=warn"
        with pytest.raises(Exception, match="501 Not Implemented"):
            read(url)
        assert users(read(url)) == USERS
        assert users(read(url)) == USERS
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert not re.search(rb"cret|t0ken", stored)
    assert stored.count(b"U24") == 1


def test_folder_belongs_to_one_query(tmp_path: Path) -> None:
    with serve(lambda _: ok(EVENTS)) as server:
        read(f"{server.url}?shop=1#keep={tmp_path}")
        message = f"{tmp_path}: expected pages of {server.url}, got those of {server.url} with another query"
        with pytest.raises(ConfigError, match=f"(?m)^{re.escape(message)}$"):
            read(f"{server.url}?shop=2#keep={tmp_path}")


@pytest.mark.parametrize(
    ("shift", "outcome"),
    [(0, "nothing"), (3, "a warning"), (9, "a warning"), (10, "an error"), (25, "an error")],
)
def test_kept_pages_of_an_api_that_was_made_anew_are_no_position(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, shift: int, outcome: str
) -> None:
    new = [{"user_id": f"new{number}"} for number in range(shift)]
    events = list(EVENTS)

    def respond(request: HttpRequest) -> HttpResponse:
        at = int(request.query.get("offset", 0))
        return ok(events[at : at + 10])

    caplog.set_level(logging.WARNING, "sluice")
    with serve(respond) as server:
        url = f"{server.url}?offset=0#keep={tmp_path}"
        assert users(read(url)) == USERS
        events[:] = [*new, *EVENTS][: len(EVENTS)]
        if outcome == "an error":
            with pytest.raises(SourceError) as caught:
                read(url)
            assert str(caught.value) == (
                f"{server.url}?offset=0: expected records of the page that is kept in {tmp_path}, got 10 others: the "
                "pages that are kept are no position in this API; remove the folder to read all pages again"
            )
        else:
            assert users(read(url))[: len(USERS)] == USERS
    assert [record.getMessage() for record in caplog.records] == (
        [
            f"{server.url}?offset=0: the first page has other records than the one that is kept in {tmp_path}; to read "
            "what is new there, remove the folder"
        ]
        if outcome == "a warning"
        else []
    )


def test_folder_of_an_earlier_release_is_continued(tmp_path: Path) -> None:
    with serve(lambda request: ok(EVENTS[int(request.query["offset"]) :][:10])) as server:
        url = f"{server.url}?key=s3cret&offset=0"
        page = {"url": url, "body": json.dumps(EVENTS[:10]).encode(), "link": "", "lines": False}
        (tmp_path / "00000000.page").write_bytes(msgspec.msgpack.encode({"page": page, "arrival": DAY}))
        assert users(read(f"{url}#keep={tmp_path}")) == USERS
    assert [request.query["offset"] for request in server.requests] == ["0", "10", "20", "25"]


def test_empty_page_in_the_middle_is_kept(tmp_path: Path) -> None:
    def respond(request: HttpRequest) -> HttpResponse:
        at = int(request.query.get("cursor", 0))
        if at == 3 and len(server.requests) == 4:
            return HttpResponse(501)
        records = [EVENTS[:10], [], EVENTS[10:20], EVENTS[20:]][at]
        return ok({"data": records, "next_cursor": str(at + 1) if at < 3 else None})

    with serve(respond) as server:
        url = f"{server.url}#keep={tmp_path}"
        with pytest.raises(Exception, match="501 Not Implemented"):
            read(url)
        assert users(read(url)) == USERS
        assert users(read(url)) == USERS
    assert len(list(tmp_path.iterdir())) == 4


@given(
    texts=st.lists(st.text(alphabet="ab%+/é\0 0", max_size=8), max_size=4),
    body=st.lists(
        st.sampled_from([b"\0", b"0", b"1", b"\0001\0", b"a", b"abab", b"%2F", b"\xff", b" "]), max_size=30
    ),
)
def test_hidden_page_is_the_same_again(texts: list[str], body: list[bytes]) -> None:
    query = "&".join(f"p{index}={text}" for index, text in enumerate(texts))
    url = f"http://host/x?{query}"
    redaction = Redaction(Url(url), Rules(), "abab")
    page = Page(url, b"".join(body), url[7:], False, url, {"header:x": {"next": url}, "n": 1})
    hidden = redaction.hide(page)
    assert b"abab" not in hidden.body
    stored = msgspec.msgpack.decode(msgspec.msgpack.encode(StoredPage(hidden, 0.0)), type=StoredPage)
    assert redaction.reveal(stored.page) == page


def numbered(request: HttpRequest, pages: int) -> HttpResponse:
    page = int(request.query.get("page", "1"))
    return ok({"page": page, "total_pages": pages, "data": [event(page)] if page <= pages else []})


def by_links(request: HttpRequest, pages: int) -> HttpResponse:
    page = int(request.query.get("after", "0"))
    return ok({"data": [event(page)], "next": f"/logs?after={page + 1}" if page + 1 < pages else None})


def by_link_header(request: HttpRequest, pages: int) -> HttpResponse:
    page = int(request.query.get("after", "0"))
    link = {"Link": f'</logs?after={page + 1}>; rel="next"'} if page + 1 < pages else {}
    return ok([event(page)], **link)


@pytest.mark.parametrize("respond", [numbered, by_links, by_link_header])
@pytest.mark.parametrize("kept", [False, True])
def test_time_of_a_history_is_linear_in_its_pages(
    respond: Callable[[HttpRequest, int], HttpResponse], kept: bool, tmp_path: Path
) -> None:
    def work(pages: int) -> None:
        with (
            serve(lambda request: respond(request, pages)) as server,
            TemporaryDirectory(dir=tmp_path) as folder,
        ):
            url = f"{server.url}#keep={folder}" if kept else server.url
            assert len(users(read(url))) == pages
            if kept:
                assert len(users(read(url))) == pages

    assert growth_of_cpu_time(work, 60) < LINEAR
