"""Slack's webhook, as a real HTTP server."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from sluice.errors import ChannelError
from sluice.tooling.alerts.message import Message, compose
from sluice.tooling.alerts.slack import SlackChannel

from devservers import http_api
from devservers.http_api import HttpApi, HttpRequest, HttpResponse
from devservers.ports import free_port
from tests.tooling.alerts.examples import HOSTILE, NOW, finding, silent_server

PATH = "/services/T00000000/B00000000/s3cretS3CRETs3cret"
MESSAGE = Message("[sluice] commerce: 1 alert", ("first", "second"))


def channel(server: str) -> SlackChannel:
    return SlackChannel(name="slack", webhook=f"{server}{PATH}")


def failure(server: str, seconds: float = 10) -> str:
    with pytest.raises(ChannelError) as error:
        channel(server).send(MESSAGE, seconds)
    for text in (str(error.value), repr(error.value.__cause__)):
        assert "s3cret" not in text
    return str(error.value)


def sent(message: Message) -> dict[str, object]:
    with http_api.start(lambda _: HttpResponse(200, b"ok")) as api:
        channel(api.url).send(message, 10)
    (request,) = api.requests
    assert (request.method, request.target) == ("POST", PATH)
    assert request.headers["Content-Type"] == "application/json; charset=utf-8"
    body: dict[str, object] = json.loads(request.body)
    return body


def test_message_is_posted_as_text_without_markup() -> None:
    assert sent(MESSAGE) == {
        "text": "[sluice] commerce: 1 alert\n\nfirst\n\nsecond",
        "mrkdwn": False,
        "parse": "none",
        "link_names": False,
        "unfurl_links": False,
        "unfurl_media": False,
    }


def test_hostile_text_mentions_nobody() -> None:
    text = str(sent(compose("commerce", [finding(metric=HOSTILE)], [], set(), NOW))["text"])
    assert "<" not in text
    assert ">" not in text
    assert (
        "1. &lt;script&gt;alert(1)&lt;/script&gt; *bold* &lt;!channel&gt; &lt;@U1&gt; &amp; \\u202egnp.exe"
        in text
    )


def test_long_message_fits_when_its_markup_is_escaped() -> None:
    text = str(sent(Message("s", tuple(["&" * 900] * 60)))["text"])
    assert len(text) <= 30_100
    assert text.endswith("\n\n… and 54 more")


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (HttpResponse(404, b"no_service"), "127.0.0.1 answered 404: no_service"),
        (
            HttpResponse(403, b"\x1b[31minvalid\r\ntoken\xff"),
            "127.0.0.1 answered 403: \\x1b[31minvalid token\ufffd",
        ),
        (HttpResponse(500), "127.0.0.1 answered 500"),
        (
            HttpResponse(400, f"POST {PATH} http://h{PATH} {PATH[-18:]}".encode()),
            "127.0.0.1 answered 400: POST /*** http://h/*** ***",
        ),
        (HttpResponse(302, b"", {"Location": "http://127.0.0.1:1/"}), "127.0.0.1 answered 302"),
        (HttpResponse(307, b"", {"Location": "http://127.0.0.1:1/"}), "127.0.0.1 answered 307"),
        (HttpResponse(429, b"", {"Retry-After": "3600"}), "127.0.0.1 answered 429"),
        (HttpResponse(0), "127.0.0.1: RemoteDisconnected instead of an answer"),
    ],
)
def test_server_that_does_not_take_the_message_is_a_failure(response: HttpResponse, reason: str) -> None:
    with http_api.start(lambda _: response) as api:
        assert failure(api.url) == reason
    assert len(api.requests) == 1


def throttled(times: int, pause: str) -> Callable[[HttpRequest], HttpResponse]:
    def respond(request: HttpRequest) -> HttpResponse:
        if request.number < times:
            return HttpResponse(429, b"rate_limited", {"Retry-After": pause})
        return HttpResponse(200, b"ok")

    return respond


def requests(api: HttpApi) -> int:
    return len(api.requests)


def test_message_is_posted_again_when_slack_asks_to_wait_a_moment() -> None:
    with http_api.start(throttled(2, "0")) as api:
        channel(api.url).send(MESSAGE, 10)
    assert requests(api) == 3


def test_server_that_is_away_is_a_failure() -> None:
    assert failure(f"http://127.0.0.1:{free_port()}") == "127.0.0.1: Connection refused"


def test_server_that_hangs_is_a_failure() -> None:
    with silent_server() as port:
        assert failure(f"http://127.0.0.1:{port}", 0.3) == "127.0.0.1 gave no answer within 0.3 s"


def test_server_that_speaks_no_http_is_a_failure() -> None:
    with silent_server(b"220 smtp\r\n") as port:
        assert failure(f"http://127.0.0.1:{port}", 5) == "127.0.0.1: BadStatusLine instead of an answer"
