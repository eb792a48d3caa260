from __future__ import annotations

import pytest
from sluice.errors import ConfigError, quote
from sluice.runtime.listen_address import TOKEN_VARIABLE, ListenAddress, parse_listen_address

TOKEN = "correct horse battery"


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("9090", "127.0.0.1", 9090),
        ("0.0.0.0:9090", "0.0.0.0", 9090),
        ("localhost:1", "localhost", 1),
        ("[::]:65535", "::", 65535),
        ("pod-1.svc.cluster.local:9090", "pod-1.svc.cluster.local", 9090),
    ],
)
def test_address_is_a_port_or_a_host_and_a_port(text: str, host: str, port: int) -> None:
    address = parse_listen_address(text, "x", {TOKEN_VARIABLE: TOKEN})
    assert address == ListenAddress(host, port, TOKEN)
    assert str(address).endswith(text)


@pytest.mark.parametrize(
    "text",
    ["", "0", "65536", "99999", "-1", "9" * 400, "x", ":9090", "host:", "::1:9", "[x]:9", "9 ", "٩", "a b:9"],
)
def test_address_without_a_port_is_a_config_error(text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_listen_address(text, "--metrics-port", {})
    assert str(raised.value) == (
        f"--metrics-port: expected PORT or HOST:PORT, such as 9090 or 0.0.0.0:9090, got {quote(text)}"
    )


@pytest.mark.parametrize("text", ["9090", "127.0.0.1:9090", "127.8.8.8:9090", "localhost:9090", "[::1]:9090"])
def test_loopback_needs_no_token(text: str) -> None:
    assert parse_listen_address(text, "x", {}).token is None
    assert parse_listen_address(text, "x", {TOKEN_VARIABLE: ""}).token is None


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "[::]", "pod-1.svc", "localhost.evil.example"])
def test_address_that_other_machines_reach_needs_a_token(host: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_listen_address(f"{host}:9090", "--metrics-port", {})
    assert str(raised.value) == (
        "--metrics-port: expected a secret in SLUICE_METRICS_TOKEN, since other machines reach "
        f"{host.strip('[]')}, got nothing; clients send it as a bearer token, or as the password of any user"
    )


@pytest.mark.parametrize("token", ["x" * 15, "x" * 15 + "é", "x" * 15 + "\n"])
def test_token_that_is_short_or_no_plain_text_is_a_config_error(token: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_listen_address("9090", "x", {TOKEN_VARIABLE: token})
    assert str(raised.value) == (
        f"SLUICE_METRICS_TOKEN: expected at least 16 printable ASCII characters, got {len(token)} characters"
    )


def test_token_is_not_shown() -> None:
    address = parse_listen_address("9090", "x", {TOKEN_VARIABLE: TOKEN})
    assert TOKEN not in f"{address} {address!r}"
