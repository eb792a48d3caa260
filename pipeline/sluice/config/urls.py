"""Addresses of sources whose own URL has a query: what Sluice needs to know stands behind the `#`.

`https://shop.example/logs?limit=100#paging=page&token=SHOP_TOKEN`: the part behind `#` is never sent anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from sluice.config.job import duration
from sluice.errors import ConfigError

_SECRET = re.compile(r"key|token|secret|passw|sig|auth|credential", re.IGNORECASE)


def split_options(url: str, known: Iterable[str]) -> tuple[str, dict[str, str]]:
    """Return the URL without what stands behind `#`, and that as options, by name.

    Raises:
        ConfigError: an option is not `known`, has no value, or is given twice.

    """
    plain, _, fragment = url.partition("#")
    options: dict[str, str] = {}
    for part in fragment.split("&") if fragment else ():
        name, _, value = part.partition("=")
        if name not in known or not value or name in options:
            expected = f"expected options {', '.join(f'{each}=…' for each in known)}, each once, behind #"
            message = f"{shown(plain)}: {expected}; got {name!r}"
            raise ConfigError(message)
        options[name] = value
    return plain, options


def shown(url: str) -> str:
    """Return `url` as messages and dead letters may quote it: without user, password, and secrets in its query."""
    parts = urlsplit(url)
    query = urlencode(
        [(name, "***" if _SECRET.search(name) else value) for name, value in parse_qsl(parts.query, True)],
        safe="*:/,",
    )
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query=query, fragment="").geturl()


def seconds(url: str, options: Mapping[str, str], name: str, default: str) -> float:
    """Return the duration that an option names."""
    return duration(options.get(name, default), f"{shown(url)}: {name}")


def floor_to(now: float, span: float) -> float:
    """Return the beginning of the span, counted from 1970, that `now` lies in.

    What has no time of its own gets this one as its arrival: whatever is read again within the span is the same.
    """
    return now if span <= 0 else now // span * span


def choice(
    url: str, options: Mapping[str, str], name: str, allowed: Mapping[str, Any] | Iterable[str]
) -> str:
    """Return an option's value, which must be one of `allowed`; the first of them if it is not given."""
    values = list(allowed)
    value = options.get(name, values[0])
    if value not in values:
        message = f"{shown(url)}: {name}: expected one of {', '.join(values)}, got {value!r}"
        raise ConfigError(message)
    return value
