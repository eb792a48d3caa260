"""Whether bytes are JSON, by the decoder that decides about records; where an object or array ends, JSON or not."""

from __future__ import annotations

import re

import msgspec

STRING = rb'"(?>(?:[^"\\]++|\\.)*)"'
"""A pattern of a string; possessive, so a failure costs one pass, too."""

_tokens = re.compile(STRING + rb'|[{}\[\]"]', re.DOTALL)

NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding bytes raises that are no JSON, or none of the decoder's type."""


def is_json(data: bytes) -> bool:
    """Tell whether `data` is one JSON value, with blanks around it or not."""
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except NOT_JSON:
        return False
    return True


def end_of_brackets(data: bytes, at: int) -> int | None:
    """Return where the object or array that begins at `at` ends, by its brackets alone; None: not within `data`."""
    depth = 0
    for token in _tokens.finditer(data, at):
        character = data[token.start()]
        if character == ord('"') and token.end() == token.start() + 1:
            return None  # a string that does not end
        depth += (character in b"{[") - (character in b"}]")
        if depth == 0:
            return token.end()
    return None
