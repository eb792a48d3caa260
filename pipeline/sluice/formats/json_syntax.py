"""Whether bytes are JSON, by the decoder that decides about records."""

from __future__ import annotations

import msgspec

NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding bytes raises that are no JSON, or none of the decoder's type."""


def is_json(data: bytes) -> bool:
    """Tell whether `data` is one JSON value, with blanks around it or not."""
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except NOT_JSON:
        return False
    return True
