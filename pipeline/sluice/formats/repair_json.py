"""Objects of malformed lines that are JSON but for their structure, for a parser in C.

Such an object lacks its end, commas between members or quotes around keys, has a comma before a brace, or has single
quotes throughout. Only what stands between its strings is changed, and a parser of JSON decides whether that was all.
JSON is a part of the grammar of repair, so the grammar would read the object alike. What the two may read differently
(escapes, control characters, arrays, repeated keys) is left to the grammar.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from sluice.formats.json_syntax import NOT_JSON
from sluice.formats.repair_patterns import KEY, match_cut_member

MAX_DEPTH = 32
"""How deep objects and arrays may be nested."""

_NO_RULES: frozenset[str] = frozenset()
_MISSING_COMMAS = frozenset(["missing_commas"])
_SINGLE_QUOTES, _CUT_OFF, _MISSING_BRACES = map(
    frozenset, (["single_quotes"], ["cut_off"], ["missing_braces"])
)
_LAST = ('"', "}")
"""What an object that was not cut off ends with, though braces may be missing."""
_BEFORE_STRING = ("{", ",", ":")
"""What may precede a string in JSON."""
_MAX_CACHED_PART = 64
_QUOTES = ('"', "'")
_decode = msgspec.json.Decoder().decode
_decode_string = msgspec.json.Decoder(str).decode
_decode_raw = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_comma_before_brace = re.compile(r", *+(?=\})")
_bare_key = re.compile(rf"([{{,] *+)({KEY})( *+:)", re.ASCII)


class JsonObject(NamedTuple):
    """An object that was read by the parser of JSON."""

    text: str
    """Compact."""
    members: Mapping[str, Any]
    """Key -> decoded value."""
    rules: frozenset[str]
    """Rules that were needed."""
    implied: frozenset[str]
    """Rules that another rule brings with it."""

    def texts(self) -> dict[str, str]:
        """Return key -> value as JSON."""
        return {key: str(value, "utf-8") for key, value in _decode_raw(self.text).items()}


def read_json(text: str, braced: bool) -> JsonObject | None:
    """Return the object in `text`, which begins with its brace, or without one if not `braced`; None if it is no JSON.

    The object must be the whole text; of one that was cut off the last member, which may be incomplete, is left out.
    """
    if not braced:
        if text[:1] not in _QUOTES:
            return None
        text = "{" + text
    if "\\" in text or "[" in text:
        return None
    rules = _NO_RULES
    if '"' not in text and "'" in text:
        text = text.replace("'", '"')
        rules = _SINGLE_QUOTES
    cut = text[-1] not in _LAST
    if cut:
        comma = text.rfind(",")
        if not braced or comma < 0 or not match_cut_member(text, comma):
            return None
        text = text[:comma]
        rules |= _CUT_OFF
    missing = text.count("{") - text.count("}")
    if not cut <= missing <= MAX_DEPTH:
        return None
    implied = _MISSING_BRACES if cut and missing == 1 else _NO_RULES
    if missing:
        text += "}" * missing
    if (missing or not braced) and not implied:
        rules |= _MISSING_BRACES
    if text[1] != '"' or ",}" in text or '" "' in text:
        text, fixes = _fix_structure(text)
        if not braced and not fixes <= _MISSING_COMMAS:  # without a brace, these have rules of their own
            return None
        rules |= fixes
    return _parse(text, rules, implied)


def _parse(text: str, rules: frozenset[str], implied: frozenset[str]) -> JsonObject | None:
    """Return a JSON object without escapes; None if it is none, is empty or repeats a key."""
    try:
        compact = msgspec.json.format(text, indent=-1)
        members = _decode(compact)
        if not members or members.__class__ is not dict or _count_keys(members) < compact.count('":'):
            return None
    except NOT_JSON:
        return None
    return JsonObject(compact, members, rules, implied)


def _count_keys(members: Mapping[str, Any]) -> int:
    """Return how many members an object and the objects in it have, each key of an object counted once."""
    count = len(members)
    for value in members.values():
        if value.__class__ is dict:
            count += _count_keys(value)
    return count


def _fix_structure(text: str) -> tuple[str, frozenset[str]]:
    """Return an object without escapes, with what is between its strings as JSON has it, and the rules for that."""
    parts = text.split('"')
    outside, fixes, rules = parts[::2], dict[str, str](), _NO_RULES
    for part in set(outside):
        fixed, needed = (_fix_part_cached if len(part) <= _MAX_CACHED_PART else _fix_part)(part)
        if needed:
            fixes[part] = fixed
            rules |= needed
    if fixes:
        parts[::2] = map(fixes.get, outside, outside)
        text = '"'.join(parts)
    return text, rules


def _fix_part(part: str) -> tuple[str, frozenset[str]]:
    """Return what stands between two strings as JSON has it, and the rules for that."""
    rules = set()
    if (fixed := _comma_before_brace.sub("", part)) != part:
        rules.add("trailing_commas")
        part = fixed
    if (fixed := _bare_key.sub(r'\1"\2"\3', part)) != part:
        rules.add("bare_words")
        part = fixed
    if part[-1:] == " " and part.rstrip()[-1:] not in _BEFORE_STRING:
        rules.add("missing_commas")
        part += ","
    return part, frozenset(rules)


_fix_part_cached = lru_cache(maxsize=1024)(_fix_part)


def unescape_object(line: str) -> tuple[str, tuple[str, ...]]:
    """Return the text of a line that is a JSON string, or whose object has its quotes escaped, and the rule for it."""
    start = line.find("{")
    if start < 0 or '\\"' not in line[start : start + 8]:
        return line, ()
    stop = line.rfind("}") + 1 or len(line)
    try:
        inner = _decode_string(f'"{line[start:stop]}"')
    except NOT_JSON:
        return line, ()
    before, behind = line[:start].removesuffix('"'), line[stop:].strip().removeprefix('"')
    return before + inner + behind, ("escaped",)
