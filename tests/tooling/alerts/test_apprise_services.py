"""Further services by apprise, of which a JSON webhook stands for all."""

from __future__ import annotations

import json
import logging
import sys

import pytest
from sluice.errors import ChannelError
from sluice.tooling.alerts.apprise_services import AppriseChannel
from sluice.tooling.alerts.message import Message

from devservers import http_api
from devservers.http_api import HttpResponse
from devservers.ports import free_port
from tests.tooling.alerts.examples import silent_server

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")  # apprise imports it

MESSAGE = Message("[sluice] commerce: 1 alert", ("<b>first</b>", "second"))


def channel(address: str) -> AppriseChannel:
    return AppriseChannel(name="apprise", url=address)


def failure(address: str, seconds: float = 10) -> str:
    with pytest.raises(ChannelError) as error:
        channel(address).send(MESSAGE, seconds)
    return str(error.value)


def test_message_is_sent_as_text() -> None:
    with http_api.start(lambda _: HttpResponse(200)) as api:
        channel(f"{api.url.replace('http', 'json')}/s3cret").send(MESSAGE, 10)
    (request,) = api.requests
    body = json.loads(request.body)
    assert (request.path, body["title"]) == ("/s3cret", "[sluice] commerce: 1 alert")
    assert body["message"] == "<b>first</b>\n\nsecond"


@pytest.mark.parametrize("status", [0, 400, 429, 500])
def test_service_that_does_not_take_the_message_is_a_failure_without_its_address(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with http_api.start(lambda _: HttpResponse(status)) as api:
        reason = failure(f"{api.url.replace('http', 'json')}/s3cret")
    assert reason == "JSON did not take the message, or gave no answer"
    assert "s3cret" not in caplog.text


def test_service_that_is_away_is_a_failure() -> None:
    assert failure(f"json://127.0.0.1:{free_port()}") == "JSON did not take the message, or gave no answer"


def test_service_that_hangs_is_a_failure() -> None:
    with silent_server() as port:
        reason = failure(f"json://127.0.0.1:{port}?rto=0.3", 0.3)
    assert reason == "JSON did not take the message, or gave no answer"


@pytest.mark.parametrize("address", ["s3cret", "nothing://s3cret", "slack://s3cret", "//"])
def test_address_that_apprise_does_not_know_is_a_failure_without_it(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert failure(address) == "expected the address of a service that apprise knows, got another"
    assert caplog.text == ""


def test_missing_library_is_a_failure_that_says_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    assert (
        failure("json://s3cret") == "apprise: its client is not installed: pip install 'sluice-beam[alerts]'"
    )
