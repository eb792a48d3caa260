"""Regular expressions of contracts mean what ECMA-262 says, take linear time, and match alone as in lines."""

from __future__ import annotations

import json

import jsonschema_rs
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sluice.contracts.patterns import (
    check_pattern,
    compile_mismatches,
    compile_pattern,
    compile_repair_pattern,
)

from tests.growth import LINEAR, growth_of_cpu_time


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("^a$", "a", True),
        ("^a$", "a\n", False),
        ("^a$", "b\na", False),
        ("b", "abc", True),
        ("", "", True),
        ("^$", "\n", False),
        (r"^\d$", "\u0661", False),
        (r"^\w$", "é", False),
        (r"^\D$", "\n", True),
        (r"^\W$", "é", True),
        ("^.$", "\u2028", False),
        ("^.$", "\r", False),
        ("^.$", "\x85", True),
        ("^.$", "\U0001f600", True),
        ("^[^a]$", "\n", True),
        ("^[^a-]$", "-", False),
        ("^[^-a-]$", "-", False),
        (r"^[^\\-]$", "-", False),
        (r"^[$.\]]+$", "$.]", True),
        (r"^(?:a|b){1,2}?\/$", "ab/", True),
        (r"^\u0061\x62$", "ab", True),
        (r"^[\u0430-\u044f]+$", "да", True),
        (r"^\\u0061$", "\\u0061", True),
        (r"^\xe9$", "é", True),
        ("^.{1,1000}$", "x" * 1000, True),
        ("^.{1,1000}$", "x" * 1001, False),
        ("a\x00b", "a\x00b", True),
    ],
)
def test_pattern_means_what_ecmascript_says(pattern: str, text: str, matches: bool) -> None:
    assert compile_pattern(pattern)(text) is matches
    find_mismatches = compile_mismatches(pattern)
    assert find_mismatches([text]) == ([] if matches else [0])
    assert find_mismatches([text, text]) == ([] if matches else [0, 1])


def test_texts_that_match_only_together_do_not_match() -> None:
    assert compile_mismatches(r"^\D{3}$")(["a", "b"]) == [0, 1]
    assert compile_mismatches(r"^[\D]{3}$")(["a", "b"]) == [0, 1]
    assert compile_mismatches("^[^x]{3}$")(["a", "b"]) == [0, 1]
    assert compile_mismatches(r"^a\nb$")(["a", "b"]) == [0, 1]
    assert compile_mismatches("^a\nb$")(["a", "b"]) == [0, 1]
    assert compile_mismatches(r"^a[\t-\r]b$")(["a", "b"]) == [0, 1]
    assert compile_mismatches("^a[\n]b$")(["a\nb", "a\nb"]) == []


LOOK_AROUND = "write (?:…) for a group, and all that a text may be in place of look-around"
UNPORTABLE = "is not portable between JavaScript, Rust and Python"


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(?i)a", f"'(?' {UNPORTABLE}; {LOOK_AROUND}"),
        ("(?=a)", f"'(?=' {UNPORTABLE}; {LOOK_AROUND}"),
        ("(?!a)", f"'(?!' {UNPORTABLE}; {LOOK_AROUND}"),
        ("(?<=a)b", f"'(?<=' {UNPORTABLE}; {LOOK_AROUND}"),
        ("(?<!a)b", f"'(?<!' {UNPORTABLE}; {LOOK_AROUND}"),
        ("(?P<x>a)", f"'(?P<' {UNPORTABLE}; {LOOK_AROUND}"),
        (
            r"(a)\1",
            rf"'\\1' {UNPORTABLE}; compare values in a query of the table,"
            " as back-references take more than linear time",
        ),
        (r"\s", rf"'\\s' {UNPORTABLE}; write [ \t\n\r\f\v]"),
        (r"\ba", rf"'\\b' {UNPORTABLE}; write the characters around the word, such as (?:^|\W)"),
        (r"a\Z", rf"'\\Z' {UNPORTABLE}; write $"),
        (r"\p{L}", rf"'\\p' {UNPORTABLE}"),
        ("a++", f"'+' {UNPORTABLE}; write the quantifier without it, since no pattern goes back"),
        ("a{1}+", f"'+' {UNPORTABLE}; write the quantifier without it, since no pattern goes back"),
        ("[[a]", "'[' in a class must be escaped"),
        ("[]a]", "']' in a class must be escaped"),
        ("[a&&b]", "'&' in a class must be escaped"),
        ("a{,2}", f"'{{' {UNPORTABLE}"),
        ("a]", f"']' {UNPORTABLE}"),
        ("(a", "missing ): (?:a"),
        ("[a", "missing ]: [a"),
        ("[b-a]", "invalid character class range: b-a"),
        (r"\ud800", rf"'\\ud800' {UNPORTABLE}"),
        ("a\\", rf"'\\' {UNPORTABLE}"),
        ("a**", "bad repetition operator: **"),
        ("*", "no argument for repetition operator: *"),
        ("^*", "nothing to repeat at position 1"),
        (
            "a{1001}",
            "invalid repetition size: {1001}; repeat at most 1000 times, or set minLength and maxLength",
        ),
        (
            "(?:a{100}){100}",
            "invalid repetition size: {100}; repeat at most 1000 times, or set minLength and maxLength",
        ),
        ("(" * 990 + ")" * 990, "groups are nested too deeply"),
    ],
)
def test_pattern_outside_the_language_is_rejected_with_the_way_out(pattern: str, reason: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  its text is compared below
        check_pattern(pattern)
    assert str(caught.value) == reason


ATOMS = st.sampled_from(
    ["a", "b", "-", ".", "^", "$", r"\d", r"\D", r"\w", r"\W", r"\n", "[ab]", "[^a]", "[^a-]", r"[\n-]", "é"]
)
QUANTIFIERS = st.sampled_from(["", "", "", "*", "+", "?", "{2}", "{1,2}", "*?"])
SEQUENCES = st.lists(st.builds("".join, st.tuples(ATOMS, QUANTIFIERS)), max_size=4).map("".join)
PATTERNS = st.recursive(
    SEQUENCES,
    lambda inner: st.builds("{}({}|{}){}".format, SEQUENCES, inner, inner, QUANTIFIERS),
    max_leaves=3,
)
TEXTS = st.text(st.sampled_from("ab-0\néß"), max_size=5)


@settings(max_examples=300)
@given(PATTERNS, st.lists(TEXTS, min_size=1, max_size=4))
def test_pattern_gives_the_verdict_of_json_schema_alone_and_in_lines(pattern: str, texts: list[str]) -> None:
    try:
        matches = compile_pattern(pattern)
    except ValueError:
        assume(False)
    # The default engine of jsonschema_rs 0.60.3 finds `a+a*a+` in "a".
    schema = jsonschema_rs.Draft202012Validator(
        {"pattern": pattern}, pattern_options=jsonschema_rs.RegexOptions()
    )
    verdicts = [matches(text) for text in texts]
    assert verdicts == [schema.is_valid(text) for text in texts], json.dumps([pattern, texts])
    assert compile_mismatches(pattern)(texts) == [
        place for place, is_match in enumerate(verdicts) if not is_match
    ]


@pytest.mark.parametrize(
    ("pattern", "repeated", "end"),
    [
        ("^(a+)+$", "a", "!"),
        ("^(a|a)*$", "a", "!"),
        ("^(a|aa)+$", "a", "!"),
        ("a*b", "a", ""),
        ("a*a*a*a*b", "a", ""),
        (r"(\w+\d+)+x", "a1", ""),
        ("^(([a-z])+.)+[A-Z]([a-z])+$", "a", ""),
        ("(.*)*x", "y", ""),
        ("(a|b)*a(a|b){12}c", "ab", ""),
        ("^(?:[^,]*,)*[^,]*;$", "a,", ""),
        ("(?:a?){20}b", "a", ""),
    ],
)
def test_time_of_a_pattern_is_linear_in_the_text(pattern: str, repeated: str, end: str) -> None:
    matches, find_mismatches = compile_pattern(pattern), compile_mismatches(pattern)
    repair = compile_repair_pattern(pattern)

    def match(times: int) -> None:
        text = repeated * times + end
        assert not matches(text)
        assert find_mismatches([text]) == [0]
        assert repair.search(text) is None

    assert growth_of_cpu_time(match, 400_000 // len(repeated)) < LINEAR
