"""Regular expressions of contracts mean the same in JavaScript, Rust and Python."""

from __future__ import annotations

import re

import pytest
from sluice.contracts.patterns import python_pattern


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("^a$", "a", True),
        ("^a$", "a\n", False),
        ("b", "abc", True),
        (r"^\d$", "\u0661", False),
        (r"^\w$", "é", False),
        ("^.$", "\u2028", False),
        ("^.$", "\U0001f600", True),
        (r"^[$.\]]+$", "$.]", True),
        (r"^(?:a|b){1,2}?\/$", "ab/", True),
        (r"^\u0061\x62$", "ab", True),
    ],
)
def test_pattern_means_what_ecmascript_says(pattern: str, text: str, matches: bool) -> None:
    assert (re.search(python_pattern(pattern), text) is not None) is matches


@pytest.mark.parametrize(
    "pattern",
    [
        "(?i)a",
        "(?=a)",
        r"(a)\1",
        r"\s",
        r"\ba",
        r"a\Z",
        r"\p{L}",
        "a++",
        "a{1}+",
        "[[a]",
        "[]a]",
        "[a&&b]",
        "a{,2}",
        "a]",
        "(a",
        r"\ud800",
        "a\\",
        "a**",
    ],
)
def test_unportable_pattern_is_rejected(pattern: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  its text is that of re
        python_pattern(pattern)
