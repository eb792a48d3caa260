"""Regular expressions of contracts, which must mean the same in JavaScript, Rust and Python."""

from __future__ import annotations

import re

from sluice.contracts.value_types import DECIMAL_SCALE, DECIMAL_WHOLE_DIGITS

UUID_PATTERN = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
"""The one spelling of a UUID that contracts accept (RFC 9562), written as contracts write patterns."""

UNSIGNED_DECIMAL_PATTERN = (
    rf"(?:0|[1-9][0-9]{{0,{DECIMAL_WHOLE_DIGITS - 1}}})(?:\.[0-9]{{1,{DECIMAL_SCALE}}})?"
)
"""The usual spelling of a decimal that is not negative, for the whole text."""

DECIMAL_PATTERN = f"-?{UNSIGNED_DECIMAL_PATTERN}"
"""The usual spelling of a decimal. Numbers with other spellings, such as 1e2, may be valid decimals, too."""


def python_pattern(pattern: str) -> str:
    r"""Translate the regular expression of a contract to Python's `re`, to be used with `re.search`.

    Contracts speak the part of ECMA-262 that means the same in JavaScript, Rust and Python: literals, `.`,
    classes, `(…)`, `(?:…)`, `|`, quantifiers (also lazy), `^`, `$`, `\d \D \w \W` (ASCII), `\n \r \t \f \v`,
    `\xhh`, `\uhhhh` and escaped punctuation. As in JSON Schema it may match anywhere unless anchored; `$` is
    the very end, also after a line feed.

    Raises:
        ValueError: naming what is not portable, or what `re` says.

    """
    out: list[str] = []
    in_class = False
    previous = ""
    for token in _TOKEN.findall(pattern):
        if in_class:
            if token == "[" or (token == "]" and previous in ("[", "[^")) or (token == previous in "&~-|"):
                message = f"{token!r} in a class must be escaped"
                raise ValueError(message)
            in_class = token != "]"
            out.append(token)
        else:
            if token in _UNPORTABLE or (token == "+" and _QUANTIFIER.fullmatch(previous)):
                message = f"{token!r} is not portable between JavaScript, Rust and Python"
                raise ValueError(message)
            in_class = token in ("[", "[^")
            out.append({"$": r"\Z", ".": r"[^\n\r\u2028\u2029]"}.get(token, token))
        if token.startswith("\\") and not _ESCAPE.fullmatch(token):
            message = f"{token!r} is not portable between JavaScript, Rust and Python"
            raise ValueError(message)
        previous = token
    translated = f"(?a:{''.join(out)})"
    try:
        re.compile(translated)
    except re.error as error:
        raise ValueError(error.msg) from error
    return translated


_TOKEN = re.compile(
    r"\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}|\\.|\{\d+(?:,\d*)?\}|\[\^|\(\?:|\(\?|.|\\", re.DOTALL
)
_ESCAPE = re.compile(
    r"\\(?:u(?![dD][89a-fA-F])[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|[dDwWnrtfv]|[\^$\\.*+?()\[\]{}|/-])"
)
_QUANTIFIER = re.compile(r"[*+?]|\{.*\}")
_UNPORTABLE = frozenset({"(?", "{", "}", "]"})
