"""URLs of warehouses as they may be shown: without what is secret."""

from __future__ import annotations

import re

_PASSWORD = re.compile(r"(?<=://)([^:@/]*):.*@", re.DOTALL)
_SECRET = re.compile(r"([?&][^=&]*(?:passw|secret|token|key)[^=&]*=)[^&]*", re.IGNORECASE)


def redact(url: str) -> str:
    """Return `url` with its password, and what its query calls a secret, replaced by `***`.

    Up to the last @, since a password that was not percent-encoded may hold any character.
    """
    return _SECRET.sub(r"\1***", _PASSWORD.sub(r"\1:***@", url))
