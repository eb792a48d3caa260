"""The key `alerts` of a monitor file is read strictly, and holds no secret."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest
from sluice.errors import ChannelError, ConfigError
from sluice.tooling.alerts.apprise_services import AppriseChannel
from sluice.tooling.alerts.channels import UnsetChannel
from sluice.tooling.alerts.message import Message
from sluice.tooling.alerts.rules import AlertRules, Silence, read_alerts
from sluice.tooling.alerts.slack import SlackChannel
from sluice.tooling.alerts.smtp import EmailChannel
from sluice.tooling.alerts.state import AlertKey

from tests.tooling.alerts.examples import NOW

WHERE = "monitors/shop.yaml: alerts"
EMAIL = {"type": "email", "host": "smtp.example.com", "from": "a@example.com", "to": ["b@example.com"]}
SLACK = {"type": "slack", "webhook": "${SLACK_WEBHOOK}"}
WEBHOOK = "https://hooks.slack.com/services/T0/B0/s3cret"


@pytest.fixture(autouse=True)
def _variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_WEBHOOK", WEBHOOK)
    monkeypatch.setenv("SMTP_PASSWORD", "pa55\n")
    monkeypatch.setenv("APPRISE_URL", "json://localhost")
    monkeypatch.setenv("ON_CALL", "c@example.com, d@example.com")
    monkeypatch.delenv("ABSENT", raising=False)


def test_all_keys_are_read() -> None:
    rules = read_alerts(
        {
            "channels": [
                {**EMAIL, "user": "u", "password": "${SMTP_PASSWORD}", "port": 25},
                {**SLACK, "name": "ops"},
                {"type": "apprise", "url": "${APPRISE_URL}"},
            ],
            "repeat": "7d",
            "timeout": "500ms",
            "silences": [
                {"metric": "revenue", "until": "2026-12-31", "day": date(2026, 11, 28), "reason": "sale"}
            ],
        },
        WHERE,
    )
    assert rules == AlertRules(
        channels=(
            EmailChannel(
                name="email",
                host="smtp.example.com",
                port=25,
                user="u",
                password="pa55",
                from_="a@example.com",
                to=("b@example.com",),
            ),
            SlackChannel(name="ops", webhook=WEBHOOK),
            AppriseChannel(name="apprise", url="json://localhost"),
        ),
        repeat=604800.0,
        timeout=0.5,
        silences=(
            Silence(metric="revenue", until=date(2026, 12, 31), day=date(2026, 11, 28), reason="sale"),
        ),
    )


@pytest.mark.parametrize("value", [None, {}, {"channels": None}, {"channels": [], "silences": []}])
def test_file_without_channels_has_rules_that_send_nothing(value: Any) -> None:
    assert read_alerts(value, WHERE) == AlertRules(repeat=None, timeout=30.0)


def test_defaults_of_email_are_those_of_submission() -> None:
    (channel,) = read_alerts({"channels": [EMAIL]}, WHERE).channels
    assert isinstance(channel, EmailChannel)
    assert (channel.port, channel.security, channel.user) == (587, "starttls", None)


def test_receivers_come_from_a_variable() -> None:
    (channel,) = read_alerts({"channels": [{**EMAIL, "to": "${ON_CALL}"}]}, WHERE).channels
    assert isinstance(channel, EmailChannel)
    assert channel.to == ("c@example.com", "d@example.com")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "expected a mapping with channels, repeat, timeout, silences, got []"),
        ({"chanels": []}, "chanels: unknown key; did you mean channels?"),
        ({"x": []}, "x: unknown key; expected one of channels, repeat, timeout, silences"),
        ({"repeat": 7}, "repeat: expected a duration with its unit, such as 500ms, 10s, 5m, 2h or 7d, got 7"),
        ({"repeat": "0s"}, "repeat: expected more than no time, got '0s'"),
        ({"channels": {}}, "channels: expected a list, got a mapping"),
        (
            {"channels": ["slack"]},
            "channels[0]: expected a mapping with a type, one of email, slack, apprise, got 'slack'",
        ),
        ({"channels": [{}]}, "channels[0]: type: expected one of email, slack, apprise, got None"),
        (
            {"channels": [SLACK, {"type": []}]},
            "channels[1]: type: expected one of email, slack, apprise, got []",
        ),
        (
            {"channels": [{**SLACK, "channel": "#ops"}]},
            "channels[0]: channel: unknown key; expected one of type, name, webhook",
        ),
        ({"channels": [{"type": "slack"}]}, "channels[0]: webhook: expected this key, got nothing; add it"),
        (
            {"channels": [SLACK, SLACK]},
            "channels: expected a name of its own for each channel, got 'slack' twice",
        ),
        (
            {"channels": [{**EMAIL, "to": ["b\r\nBcc: x"]}]},
            "channels[0]: to: expected an e-mail address, such as data@example.com, got 'b\\r\\nBcc: x'",
        ),
        (
            {"channels": [{**EMAIL, "to": []}]},
            "channels[0]: to: expected a list of e-mail addresses, such as [data@example.com], got []",
        ),
        (
            {"channels": [{**EMAIL, "port": 65536}]},
            "channels[0]: port: expected a port from 1 to 65535, got 65536",
        ),
        (
            {"channels": [{**EMAIL, "security": "ssl"}]},
            "channels[0]: security: expected one of starttls, tls, none, got 'ssl'",
        ),
        (
            {"channels": [{**EMAIL, "user": "u"}]},
            "channels[0]: expected user and password together, or none of them, got one",
        ),
        (
            {"channels": [{**EMAIL, "user": "u", "password": "${SMTP_PASSWORD}", "security": "none"}]},
            "channels[0]: security: expected starttls or tls, since a password is sent, got 'none'",
        ),
        (
            {"silences": [{"metric": "revenue"}]},
            "silences[0]: until: expected the last day of the silence, such as 2026-12-31, got nothing; add it",
        ),
        (
            {"silences": [{"until": "2026-12-31"}]},
            "silences[0]: expected at least one of check, metric, kind, day, got none; say which alerts are silent",
        ),
        (
            {"silences": [{"metric": "revenue", "until": "tomorrow"}]},
            "silences[0]: until: expected a day, such as 2026-12-31, got 'tomorrow'",
        ),
        (
            {"silences": [{"metric": "revenue", "until": datetime(2026, 12, 31)}]},  # noqa: DTZ001  as YAML reads it
            "silences[0]: until: expected a day, such as 2026-12-31, got datetime.datetime(2026, 12, 31, 0, 0)",
        ),
        (
            {"silences": [{"table": "x", "until": "2026-12-31"}]},
            "silences[0]: table: unknown key; expected one of check, metric, kind, day, until, reason",
        ),
    ],
)
def test_mistake_is_one_line_that_names_its_key(value: Any, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        read_alerts(value, WHERE)
    of_the_key_itself = ("expected a mapping with channels", "chanels", "x")
    separator = ": " if message.startswith(of_the_key_itself) else "."
    assert str(error.value) == f"{WHERE}{separator}{message}"


SECRETS = [
    "hunter2",
    "${SMTP_PASSWORD}x",
    "x${SMTP_PASSWORD}",
    "$SMTP_PASSWORD",
    12345678,
    None,
    ["hunter2"],
    "",
    WEBHOOK,
]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    ("channel", "key", "variable"),
    [
        ({**EMAIL, "user": "u"}, "password", "SMTP_PASSWORD"),
        ({"type": "slack"}, "webhook", "SLACK_WEBHOOK"),
        ({"type": "apprise"}, "url", "APPRISE_URL"),
    ],
)
def test_secret_in_the_file_is_refused_and_not_repeated(
    channel: dict[str, Any], key: str, variable: str, secret: Any
) -> None:
    with pytest.raises(ConfigError) as error:
        read_alerts({"channels": [{**channel, key: secret}]}, WHERE)
    assert str(error.value) == (
        f"{WHERE}.channels[0]: {key}: expected an environment variable, such as ${{{variable}}}, since it is secret, "
        "got a value, which is not repeated here; put it into the variable, and change the secret if others could "
        "read this file"
    )


@pytest.mark.parametrize(
    "address",
    [
        "http://hooks.slack.com/services/s3cret",
        "hooks.slack.com/s3cret",
        "https:///s3cret",
        "https://[s3cret",
        "https://a b/s3cret",
        "https://hooks.slack.com/s3cret\r\nHost: x",
        "https://hooks.slack.com/s3cr\u00e9t",
        "ftp://localhost/s3cret",
        " ",
    ],
)
def test_webhook_that_is_no_encrypted_address_is_not_repeated(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLACK_WEBHOOK", address)
    with pytest.raises(ConfigError) as error:
        read_alerts({"channels": [SLACK]}, WHERE)
    assert str(error.value) == (
        f"{WHERE}.channels[0]: webhook: expected an address that begins with https://, got another, which is not "
        "repeated here"
    )


def test_channel_whose_variable_is_not_set_fails_when_it_is_used() -> None:
    rules = read_alerts({"channels": [{**SLACK, "webhook": "${ABSENT}", "name": "ops"}, SLACK]}, WHERE)
    absent, slack = rules.channels
    assert isinstance(absent, UnsetChannel)
    assert (absent.name, slack.name) == ("ops", "slack")
    with pytest.raises(ChannelError) as error:
        absent.send(Message("s", ()), 1)
    assert str(error.value) == "expected the environment variable ABSENT, got nothing; set it"


def test_secrets_are_not_in_the_text_of_rules() -> None:
    channels = [{**EMAIL, "user": "u", "password": "${SMTP_PASSWORD}"}, SLACK]
    shown = repr(read_alerts({"channels": channels}, WHERE))
    assert "pa55" not in shown
    assert "s3cret" not in shown


KEY = AlertKey("shop", "daily_revenue", "revenue", "2026-11-28", "high")


@pytest.mark.parametrize(
    ("silence", "silent"),
    [
        ({"metric": "revenue"}, True),
        ({"metric": "revenue", "kind": "low"}, False),
        ({"metric": "revenue", "kind": "high", "check": "daily_revenue", "day": "2026-11-28"}, True),
        ({"day": "2026-11-27"}, False),
        ({"kind": "high", "until": "2026-11-29"}, True),  # to the end of its last day
        ({"kind": "high", "until": "2026-11-28"}, False),
    ],
)
def test_silence_covers_alerts_with_all_its_values_until_its_last_day(
    silence: dict[str, Any], silent: bool
) -> None:
    rules = read_alerts({"silences": [{"until": "2026-12-31", **silence}]}, WHERE)
    assert rules.is_silent(KEY, NOW) is silent
