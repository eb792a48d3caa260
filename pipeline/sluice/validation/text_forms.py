"""The forms in which one text may stand in another: another case or composition, percent-encoded, in base64, in hex."""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import unquote

_DEPTH = 2
"""Encodings in one another that are undone; percent-encoding in percent-encoding counts as one."""

_NESTED = re.compile("%(?:25)+")
"""A percent sign that was encoded any number of times."""

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{4,}")
_HEX = re.compile(r"[0-9A-Fa-f]{6,}")
_FROM_URLS = str.maketrans("-_", "+/")


def plain(text: str) -> str:
    """Return the same text for all that differ in case, or in how Unicode composes characters."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def plain_forms(text: str) -> Iterator[str]:
    """Yield `text` and what its encoded parts say, all plain: percent-encoding, base64 and hexadecimal digits."""
    forms = {text}
    for depth in range(_DEPTH + 1):
        forms |= {unquote(_NESTED.sub("%", form)) for form in forms if "%" in form}
        yield from map(plain, forms)
        if depth < _DEPTH:
            forms = {decoded for form in forms for decoded in _decoded(form)}


def _decoded(text: str) -> Iterator[str]:
    """Yield what base64 and hex in a text say; names of folders, whose / is a digit of base64, may stand before it."""
    for token in _BASE64.findall(text):
        digits = token.translate(_FROM_URLS)
        for start in range(4):
            whole = digits[start : len(digits) - ((len(digits) - start) % 4 == 1)]
            yield base64.b64decode(whole + "=" * (-len(whole) % 4)).decode("utf-8", "replace")
    for token in _HEX.findall(text):
        for start in range(2):
            whole = token[start:]
            yield binascii.unhexlify(whole[: len(whole) // 2 * 2]).decode("utf-8", "replace")
