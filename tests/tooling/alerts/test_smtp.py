"""E-mail through a real mail server."""

from __future__ import annotations

from collections.abc import Iterator
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from sluice.errors import ChannelError
from sluice.tooling.alerts.message import Message, compose
from sluice.tooling.alerts.smtp import EmailChannel

from devservers import smtp
from devservers.ports import free_port
from devservers.smtp import MailServer
from tests.tooling.alerts.examples import HOSTILE, HOSTILE_SHOWN, NOW, finding, silent_server

MESSAGE = Message("[sluice] commerce: 1 alert", ("Größe", ".", "From here on"))
TO = ("data@example.com", "ops@example.com")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MailServer]:
    with smtp.start(tmp_path) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
        yield server


def channel(port: int, **keys: Any) -> EmailChannel:
    keys = {"user": "bob", "password": "right", **keys}
    return EmailChannel(name="email", host="127.0.0.1", port=port, from_="sluice@example.com", to=TO, **keys)


def failure(port: int, seconds: float = 10, **keys: Any) -> str:
    with pytest.raises(ChannelError) as error:
        channel(port, **keys).send(MESSAGE, seconds)
    return str(error.value).replace(f"127.0.0.1:{port}", "server")


def received(server: MailServer) -> EmailMessage:
    (envelope,) = server.mails
    assert isinstance(envelope.content, bytes)
    mail = message_from_bytes(envelope.content, policy=default)
    assert isinstance(mail, EmailMessage)
    return mail


def test_mail_arrives_encrypted_and_authenticated(server: MailServer) -> None:
    assert channel(server.port).send(MESSAGE, 10) == ""
    (envelope,) = server.mails
    assert (envelope.mail_from, envelope.rcpt_tos) == ("sluice@example.com", list(TO))
    assert ("bob", "right") in server.logins
    mail = received(server)
    assert mail["Subject"] == "[sluice] commerce: 1 alert"
    assert mail["To"] == "data@example.com, ops@example.com"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Message-ID"].endswith("@example.com>")
    assert mail.get_content_type() == "text/plain"
    assert mail.get_content().splitlines() == ["Größe", "", ".", "", "From here on"]


@pytest.mark.parametrize("security", ["tls", "none"])
def test_mail_arrives_with_other_security(
    security: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with smtp.start(tmp_path, security=security) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
        channel(server.port, security=security).send(MESSAGE, 10)
        assert received(server)["Subject"] == "[sluice] commerce: 1 alert"


def test_hostile_text_adds_no_header_no_receiver_and_no_markup(server: MailServer) -> None:
    channel(server.port).send(compose("commerce", [finding(metric=HOSTILE)], [], set(), NOW), 10)
    mail = received(server)
    assert server.mails[0].rcpt_tos == list(TO)
    assert mail["Bcc"] is None
    assert mail["Subject"] == f"[sluice] commerce: 1 alert: {HOSTILE_SHOWN} 2026-11-28 high"
    assert mail.get_content_type() == "text/plain"
    assert f"1. {HOSTILE_SHOWN}, 2026-11-28: high" in mail.get_content()


def test_wrong_password_is_a_failure_without_it(server: MailServer) -> None:
    assert failure(server.port, password="s3cret") == "server rejected user and password: 535"
    assert server.mails == []


def test_password_that_is_no_ascii_is_a_failure_without_it(server: MailServer) -> None:
    assert (
        failure(server.port, password="pässword") == "server: expected user and password in ASCII, got others"
    )


def test_certificate_that_is_not_trusted_is_a_failure(
    server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    assert failure(server.port) == "server has a certificate that is not trusted: self-signed certificate"
    assert server.logins == []


def test_server_without_starttls_gets_no_password_and_no_mail(tmp_path: Path) -> None:
    with smtp.start(tmp_path, security="none") as server:
        assert failure(server.port) == "server: STARTTLS extension not supported by server."
        assert (server.logins, server.mails) == ([], [])


def test_receiver_that_is_rejected_does_not_stop_the_others(server: MailServer) -> None:
    server.rejected["data@example.com"] = "550 no such user, s3cret"
    server.password = "s3cret"
    remark = channel(server.port, password="s3cret").send(MESSAGE, 10)
    assert remark == f"127.0.0.1:{server.port} rejected data@example.com: 550 no such user, ***"
    assert [envelope.rcpt_tos for envelope in server.mails] == [["ops@example.com"]]


def test_server_that_rejects_all_receivers_is_a_failure(server: MailServer) -> None:
    server.rejected.update({TO[0]: "550 no such user", TO[1]: "452 mailbox full"})
    assert failure(server.port) == (
        "server rejected every receiver: data@example.com: 550 no such user; ops@example.com: 452 mailbox full"
    )


@pytest.mark.parametrize("answer", ["421 too many messages, slow down", "554 no"])
def test_server_that_throttles_or_rejects_the_mail_is_a_failure(server: MailServer, answer: str) -> None:
    server.on_data = answer
    assert failure(server.port) == f"server answered {answer}"


def test_password_that_the_server_repeats_is_not_shown(server: MailServer) -> None:
    server.password = "s3cret"
    server.on_data = "554 AGJvYgBzM2NyZXQ= czNjcmV0 s3cret"  # as AUTH PLAIN and AUTH LOGIN encode it
    assert failure(server.port, password="s3cret") == "server answered 554 *** *** ***"


def test_server_that_is_away_is_a_failure() -> None:
    assert failure(free_port()) == "server: Connection refused"


@pytest.mark.parametrize("security", ["starttls", "tls", "none"])
def test_server_that_hangs_is_a_failure(security: str) -> None:
    with silent_server() as port:
        reason = failure(port, 0.3, security=security)
    assert reason in (
        "server: Connection unexpectedly closed: timed out",
        "server gave no answer within 0.3 s",
    )
