"""Where the server of a run listens, and which requests it answers.

Whoever reaches it from another machine must show a secret, as a bearer token or as the password that a browser asks
for. On the loopback interface nothing is asked for, but that the request is for this machine: a page of another site
could have its name point here, and read the answers (DNS rebinding).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sluice.errors import ConfigError, quote

LOOPBACK = "127.0.0.1"

TOKEN_VARIABLE = "SLUICE_METRICS_TOKEN"  # noqa: S105  its name is no secret

_SHORTEST_TOKEN = 16


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where a server of this process listens: a host name or address, and a port; and what its clients must show."""

    host: str
    port: int
    token: str | None = field(default=None, repr=False)
    """A secret; None: nothing is asked for."""

    def __str__(self) -> str:
        """Return it as URLs write it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_listen_address(text: str, where: str, environment: Mapping[str, str]) -> ListenAddress:
    """Return the address in `text`: `PORT`, which is on the loopback interface, `HOST:PORT` or `[IPV6]:PORT`.

    Its token is in the environment variable SLUICE_METRICS_TOKEN, which only the loopback interface can do without.

    Raises:
        ConfigError: it is none, or lacks a token; the message begins with `where`.

    """
    match = _ADDRESS.fullmatch(text)
    port = int(match["port"]) if match is not None else 0
    if match is None or not 1 <= port <= _LAST_PORT:
        message = f"{where}: expected PORT or HOST:PORT, such as 9090 or 0.0.0.0:9090, got {quote(text)}"
        raise ConfigError(message)
    host, token = match["ipv6"] or match["host"] or LOOPBACK, environment.get(TOKEN_VARIABLE) or None
    if token is None and not _is_loopback(host):
        message = (
            f"{where}: expected a secret in {TOKEN_VARIABLE}, since other machines reach {host}, got nothing; "
            "clients send it as a bearer token, or as the password of any user"
        )
        raise ConfigError(message)
    if token is not None and (len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable()):
        expected = f"expected at least {_SHORTEST_TOKEN} printable ASCII characters"
        message = f"{TOKEN_VARIABLE}: {expected}, got {len(token)} characters"
        raise ConfigError(message)
    return ListenAddress(host, port, token)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


_ADDRESS = re.compile(r"(?:(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9.-]+)):)?(?P<port>[0-9]{1,5})")
_LAST_PORT = 65535


def refusal(
    environ: Mapping[str, Any], address: ListenAddress
) -> tuple[str, str, Sequence[tuple[str, str]]] | None:
    """Return why a request to `address` is not answered, as status, text and headers; None: it is.

    `environ` is that of WSGI (PEP 3333).
    """
    if address.token is None:
        if _asks_this_machine(environ):
            return None
        return "403 Forbidden", "expected a request for this machine by its own name\n", ()
    if _shows(environ, address.token):
        return None
    challenges = [("WWW-Authenticate", f'{kind} realm="sluice"') for kind in ("Bearer", "Basic")]
    return "401 Unauthorized", f"expected the secret in {TOKEN_VARIABLE}\n", challenges


def _asks_this_machine(environ: Mapping[str, Any]) -> bool:
    """Return whether the Host header names this machine; HTTP/1.0 needs none."""
    host = str(environ.get("HTTP_HOST", LOOPBACK))
    name = host[1 : host.find("]")] if host.startswith("[") else host.partition(":")[0]
    return _is_loopback(name)


def _shows(environ: Mapping[str, Any], token: str) -> bool:
    """Return whether a request has the token: as RFC 6750 says, or as the password of RFC 7617, as browsers send it."""
    kind, _, shown = str(environ.get("HTTP_AUTHORIZATION", "")).partition(" ")
    if kind.lower() == "basic":
        try:
            shown = base64.b64decode(shown, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeError):
            return False
    return kind.lower() in ("basic", "bearer") and hmac.compare_digest(shown.encode(), token.encode())
