"""Regular expressions of contracts: the same meaning in JavaScript, Rust and Python, and linear time by RE2.

RE2 matches with automata, without going back, so that no pattern and no text can make it take more than linear time
(https://github.com/google/re2/wiki/WhyRE2). What it does not take, is no pattern of a contract.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import re2

from sluice.contracts.value_types import DECIMAL_SCALE, DECIMAL_WHOLE_DIGITS

UUID_PATTERN = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
"""The one spelling of a UUID that contracts accept (RFC 9562), written as contracts write patterns."""

UNSIGNED_DECIMAL_PATTERN = (
    rf"(?:0|[1-9][0-9]{{0,{DECIMAL_WHOLE_DIGITS - 1}}})(?:\.[0-9]{{1,{DECIMAL_SCALE}}})?"
)
"""The usual spelling of a decimal that is not negative, for the whole text."""

DECIMAL_PATTERN = f"-?{UNSIGNED_DECIMAL_PATTERN}"
"""The usual spelling of a decimal. Numbers with other spellings, such as 1e2, may be valid decimals, too."""


Value = TypeVar("Value")


def check_pattern(pattern: str) -> None:
    r"""Refuse a pattern that is not in the language of contracts.

    It is the part of ECMA-262 that means the same in JavaScript, Rust, Python and RE2: literals, `.`, classes,
    `(…)`, `(?:…)`, `|`, quantifiers up to 1000 (also lazy), `^`, `$`, `\d \D \w \W` (ASCII), `\n \r \t \f \v`,
    `\xhh`, `\uhhhh` and escaped punctuation. As in JSON Schema it may match anywhere unless anchored; `$` is the
    very end, also after a line feed.

    Raises:
        ValueError: names what is not in it, and what to write instead where that is known.

    """
    previous, in_class = "", False
    for token in _TOKEN.findall(pattern):
        if token.startswith("\\") and not _ESCAPE.fullmatch(token):
            _refuse(token)
        if in_class:
            if token == "[" or (token == "]" and previous in _OPENINGS) or (token == previous in "&~-|"):
                message = f"{token!r} in a class must be escaped"
                raise ValueError(message)
            in_class = token != "]"
        elif (
            token in _UNPORTABLE
            or token.startswith("(?") != (token == "(?:")
            or (token == "+" and _QUANTIFIER.fullmatch(previous))
        ):
            _refuse(token)
        else:
            in_class = token in _OPENINGS
        previous = token
    _compile(_translate(pattern, in_lines=False))
    try:
        re.compile(pattern)  # matches no text: what Python does not know is not portable
    except re.error as error:
        raise ValueError(str(error)) from error
    except RecursionError as error:
        message = "groups are nested too deeply"
        raise ValueError(message) from error


def compile_pattern(pattern: str) -> Callable[[str], bool]:
    """Compile a pattern of a contract: text -> whether it matches, in time that is linear in its length.

    Raises:
        ValueError: as `check_pattern` does.

    """
    check_pattern(pattern)
    search = _compile(_translate(pattern, in_lines=False).encode()).search
    return lambda text: search(text.encode()) is not None


def compile_mismatches(pattern: str) -> Callable[[Sequence[str]], list[int]]:
    """Compile a pattern of a contract: texts -> the indexes of those that do not match, in order.

    The texts are joined by line feeds and matched as one, in a fraction of the time of single tests, unless a text has
    a line feed, or the pattern can match one.

    Raises:
        ValueError: as `check_pattern` does.

    """
    matches = compile_pattern(pattern)
    if any(_takes_line_feed(part) for part in _PART.findall(pattern)):
        return lambda texts: misfits(texts, matches)
    line = _translate(pattern, in_lines=True)
    match_lines = _compile(rf"(?m)(?:[^\n]*(?:{line})[^\n]*\n)*".encode()).match
    return lambda texts: misfits_in_lines(texts, "\n".join([*texts, ""]).encode(), match_lines, matches)


def misfits(values: Sequence[Value], fits: Callable[[Value], object]) -> list[int]:
    """Return the indexes of the values that do not fit, in order."""
    return [index for index, value in enumerate(values) if not fits(value)]


def misfits_in_lines(
    values: Sequence[Value],
    lines: bytes,
    match_lines: Callable[[bytes, int], Any],
    fits: Callable[[Value], object],
) -> list[int]:
    """Return what `misfits` does, in less time: `lines` are the values, each with a line feed behind it.

    `match_lines` matches from a position as many lines of values that fit as it can, also none. Values that have line
    feeds of their own are tested one by one.
    """
    if lines.count(b"\n") != len(values):
        return misfits(values, fits)
    found: list[int] = []
    index = start = 0
    while (end := match_lines(lines, start).end()) < len(lines):
        index += lines.count(b"\n", start, end)
        found.append(index)
        index, start = index + 1, lines.index(b"\n", end) + 1
    return found


def compile_repair_pattern(pattern: str | bytes) -> Any:
    """Compile the pattern of a repair rule, in the syntax of RE2; the result is used as a pattern of `re`.

    That of a pattern in bytes searches bytes, which are UTF-8.

    Raises:
        ValueError: RE2 does not take it; says why.

    """
    return _compile(pattern)


def _compile(pattern: str | bytes) -> Any:
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = str(error.args[0], "utf-8", "replace")
        kind = reason.partition(":")[0]
        message = f"{reason}{_INSTEAD.get(kind, '')}"
        raise ValueError(message) from error


def _refuse(token: str) -> None:
    kind = "reference" if token[1:].isdigit() else "group" if token.startswith("(?") else token
    message = f"{token!r} is not portable between JavaScript, Rust and Python{_INSTEAD.get(kind, '')}"
    raise ValueError(message)


def _translate(pattern: str, *, in_lines: bool) -> str:
    """Return a pattern as RE2 spells it, with `in_lines` for one line of many, in which it takes no line feed."""
    spelling = _IN_LINES if in_lines else _ALONE
    return "".join([spelling.get(part) or _spell(part, in_lines) for part in _PART.findall(pattern)])


def _spell(part: str, in_lines: bool) -> str:
    text = _UNICODE.sub(lambda match: f"\\x{{{match[1]}}}" if match[1] else match[0], part)
    if not in_lines or not text.startswith("[^"):
        return text
    members = text[2:-1]
    if _ENDS_IN_HYPHEN.search(members):  # which would make a range with what is added
        members = f"-{members[:-1].removeprefix('-')}"
    return f"[^{members}\\n]"


def _takes_line_feed(part: str) -> bool:
    """Tell whether a part of a pattern can match a line feed even as `_translate` spells it for lines."""
    text = _translate(part, in_lines=True)
    return (text == "\n" or text[0] in "[\\") and _compile(text).fullmatch("\n") is not None


_TOKEN = re.compile(
    r"\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}|\\.|\{\d+(?:,\d*)?\}|\[\^|\(\?:|\(\?(?:P?<)?[=!]?|.|\\", re.DOTALL
)
_ESCAPE = re.compile(
    r"\\(?:u(?![dD][89a-fA-F])[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|[dDwWnrtfv]|[\^$\\.*+?()\[\]{}|/-])"
)
_QUANTIFIER = re.compile(r"[*+?]|\{.*\}")
_OPENINGS = ("[", "[^")
_UNPORTABLE = frozenset("{}]")
_PART = re.compile(r"\[(?>(?:\\.|[^\\\]])+)\]|\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}|\\.|\(\?:|.", re.DOTALL)
"""A whole class, or a token outside of classes."""
_UNICODE = re.compile(r"\\u([0-9a-fA-F]{4})|\\.", re.DOTALL)
_ENDS_IN_HYPHEN = re.compile(r"(?<!\\)(?:\\\\)*-\Z")

_ANY = r"[^\n\r\x{2028}\x{2029}]"
_ALONE = {"^": r"\A", "$": r"\z", ".": _ANY, "(": "(?:"}
_IN_LINES = {".": _ANY, "(": "(?:", r"\D": r"[^0-9\n]", r"\W": r"[^0-9A-Za-z_\n]"}
"""How RE2 spells a part of a pattern where that differs; in lines, `^` and `$` are the ends of a line."""

_INSTEAD = {
    "group": "; write (?:…) for a group, and all that a text may be in place of look-around",
    "reference": "; compare values in a query of the table, as back-references take more than linear time",
    r"\s": r"; write [ \t\n\r\f\v]",
    r"\S": r"; write [^ \t\n\r\f\v]",
    r"\b": r"; write the characters around the word, such as (?:^|\W)",
    r"\A": "; write ^",
    r"\Z": "; write $",
    r"\z": "; write $",
    "+": "; write the quantifier without it, since no pattern goes back",
    "invalid repetition size": "; repeat at most 1000 times, or set minLength and maxLength",
}
"""What is not in the language -> what to write instead."""
