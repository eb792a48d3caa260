r"""Malformed log line -> the members of the object that it was meant to be. Never a guess.

The grammar is wider than JSON in exactly the ways that `sluice.contracts.REPAIR_RULES` names. Every character of the
object must have its place in it, or the line is not read. So `"a": "12" TV", "b": 1`, two events on one line, or a
key with two values are rejected, and a value that may have been cut off is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from json.encoder import encode_basestring as quote  # in C
from typing import TypeVar

import msgspec

from sluice.formats.repair_json import MAX_DEPTH, JsonObject, read_json, unescape_object
from sluice.formats.repair_patterns import (
    RUNS,
    control_character,
    escape,
    find_pairs,
    match_item,
    match_json_word,
    match_member,
    match_pairs,
    match_quoted_key,
    match_separators,
    match_unfinished,
    search_word,
    unescaped_quote,
)

_MAX_STARTS = 4
"""At how many braces the object may begin: those before it are in text, such as `{req-1} {"user_id": …`."""

_KEY_VALUE = frozenset(["key_value"])
_LITERALS = {"True": "true", "False": "false"}


Member = str | tuple[str, str]
"""A value as JSON text; with its content where values have no types (key=value)."""
_Item = TypeVar("_Item")
_Value = tuple[str, str | None]
"""A value as JSON text, and its content if it is a scalar."""


@dataclass(slots=True)
class Reading:
    """What a line says: the object in one of three forms, the rules that it needed, and the text before the object."""

    before: str
    rules: frozenset[str]
    implied: frozenset[str] = frozenset()
    """Rules that another rule of the line brings with it; the contract need not name them."""
    json_object: JsonObject | None = None
    contents: dict[str, str] | None = None
    """Key -> content, if all values have no types: the line is key=value throughout."""
    members: Mapping[str, Member] | None = None
    """Key -> value, of any other object."""

    def keys(self) -> Set[str]:
        """Return the keys of the object."""
        if self.json_object is not None:
            return self.json_object.members.keys()
        return (self.contents or self.members or {}).keys()

    def is_text(self, key: str, text: str) -> bool:
        """Tell whether the value of `key` is the string `text`."""
        if self.json_object is not None:
            return bool(self.json_object.members.get(key) == text)
        if self.contents is not None:
            return self.contents.get(key) == text and not match_json_word(text)
        member = self.members.get(key) if self.members else None
        return (member[0] if isinstance(member, tuple) else member) == quote(text)


class LineGrammar:
    """Reads malformed lines whose objects have members of known names."""

    def __init__(self, names: Iterable[str]) -> None:
        """Take the names of columns, in lower case; an object without braces begins at the first of them."""
        alternatives = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
        initials = re.escape(
            "".join(sorted({initial for name in names for initial in (name[0], name[0].upper())}))
        )
        self._names_have_braces = "{" in alternatives
        self._search_known_key = re.compile(  # the look at one character first skips most of a text
            rf"""(?=["'{initials}]|[^\x00-\x7f])(?<![\w.-])["']?(?i:{alternatives})["']?\s*+[:=]"""
        ).search

    def read(self, line: str) -> Reading:
        """Return the first reading that the grammar allows; one without members if there is none."""
        text, escaped = unescape_object(line)
        for start in self._starts(text):
            try:
                reading = self._read_object(text, start)
            except _NotReadable:
                continue
            if reading.before.strip():
                escaped = (*escaped, "text_around")
            if escaped:
                reading.rules = reading.rules.union(escaped)
            return reading
        return Reading(text, frozenset(escaped))

    def _read_object(self, text: str, start: int) -> Reading:
        """Return the reading of the object that begins at `start`."""
        before, braced = text[:start], text[start] == "{"
        json_object = read_json(text[start:] if start else text, braced)
        if json_object is not None:
            return Reading(before, json_object.rules, json_object.implied, json_object)
        if not braced and match_pairs(text, start):
            return Reading(before, _KEY_VALUE, contents=_contents(text[start:]))
        reader = _ObjectReader(text)
        members, end = reader.members(start + braced, braced, 0)
        if end < len(text):
            self._check_rest(text[end:], braced, reader.rules)
        return Reading(before, frozenset(reader.rules), frozenset(reader.implied), members=members)

    def _starts(self, text: str) -> Iterator[int]:
        """Yield where the object, or its members without a brace, may begin, the likeliest first."""
        brace = text.find("{")
        if brace < 0 or text[:brace].strip():
            known = self._search_known_key(
                text, 0, len(text) if brace < 0 or self._names_have_braces else brace
            )
            first = 0 if match_quoted_key(text) else known.start() if known is not None else -1
            if first >= 0 and (brace < 0 or first < brace):
                yield first
        for _ in range(_MAX_STARTS):
            if brace < 0:
                return
            yield brace
            brace = text.find("{", brace + 1)
            if self._search_known_key(text, 0, max(brace, 0)):  # the next brace may be within the object
                return

    def _check_rest(self, rest: str, braced: bool, rules: set[str]) -> None:
        """Refuse a second object, or more members, after the first, and text that may continue a bare value."""
        rest = rest.strip()
        if not rest:
            return
        if "{" in rest or self._search_known_key(rest) or (not braced and search_word(rest)):
            raise _NotReadable
        if not rest.strip(",;"):
            rules.add("trailing_commas")
        else:
            rules.add("missing_braces" if rest in "}}" else "text_around")


class _NotReadable(Exception):
    """The text does not fit the grammar."""


class _ObjectReader:
    """Reads one object from a text, and notes the rules that it needs."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.rules: set[str] = set()
        self.implied: set[str] = set()
        self._runs = RUNS if "'" in text else RUNS[:-1]

    def members(self, at: int, braced: bool, depth: int) -> tuple[dict[str, Member], int]:
        """Return the members from `at` on, and where they end; `braced`: behind an opening brace."""
        text = self.text
        members: dict[str, Member] = {}
        uncertain_key = None  # its value may have lost its end with the line
        while True:
            at, uncertain_key = self._members_of_runs(at, members, uncertain_key)
            if braced and text.startswith("}", at):
                return members, at + 1
            match = match_member(text, at)
            if match is None:
                break
            key, member, at = self._member(match, not members, braced, depth)
            if members.setdefault(key, member) != member:
                raise _NotReadable
            uncertain_key = key if at == len(text) and _may_be_cut(match) else None
        end = _end_of_separators(text, at)
        if not braced:
            closed = text[end : end + 1] == "}"
            self.rules.update(() if "key_value" in self.rules and not closed else ("missing_braces",))
            return members, end + 1 if closed else at
        if uncertain_key is not None:
            del members[uncertain_key]
        return members, self._end(at, end, "}", uncertain_key is not None, depth)

    def _members_of_runs(
        self, at: int, members: dict[str, Member], uncertain_key: str | None
    ) -> tuple[int, str | None]:
        """Add the members from `at` on that are written in a common way; return where they end.

        The second value is the key of the last member if its value may continue behind the end of the line.
        """
        text = self.text
        for run in self._runs:
            match = (run.match_more if members else run.match_first)(text, at)
            if match is None:
                continue
            pairs = run.find(text, at, match.end())
            at = match.end()
            if run.quote == "'":
                pairs = [(key, quote(content)) for key, content in pairs]
            if run.rule is not None:
                self.rules.add(run.rule)
            added = dict(pairs)
            if len(added) < len(pairs) or not members.keys().isdisjoint(added):
                _add(pairs, members)
            else:
                members.update(added)
            uncertain_key = pairs[-1][0] if at == len(text) and pairs[-1][1][0] not in '"tfn' else None
        return at, uncertain_key

    def _member(self, match: re.Match[str], first: bool, braced: bool, depth: int) -> tuple[str, Member, int]:
        """Return key and value of a matched member, and where it ends."""
        gap, key, sign, json_text = match.group("gap", "key", "sign", "json")
        key = self._other_key(match) if key is None or "\\" in key else key[1:-1]
        if gap.strip() != ("" if first else ","):
            self._check_gap(gap, first, sign == "=")
        if sign == "=":
            self.rules.add("key_value")
        if sign == "=" or (not braced and match["bare_key"] is not None):
            (json_text, content), end = self._value(match, depth)
            return key, json_text if content is None else (json_text, content), end
        if json_text is not None:
            return key, json_text, match.end()
        (json_text, _), end = self._value(match, depth)
        return key, json_text, end

    def _items(self, at: int, depth: int) -> tuple[_Value, int]:
        """Return the array whose items begin at `at`, and where it ends."""
        items: list[str] = []
        while (match := match_item(self.text, at)) is not None:
            member, end = self._value(match, depth)
            self._check_gap(match["gap"], not items, False)
            items.append(member[0])
            at = end
            if end == len(self.text) and _may_be_cut(match):
                items.pop()
                self.rules.add("cut_off")
        end = self._end(at, _end_of_separators(self.text, at), "]", False, depth)
        return (f"[{','.join(items)}]", None), end

    def _end(self, at: int, end: int, bracket: str, cut: bool, depth: int) -> int:
        """Return where an object or array ends whose last value ends at `at`, with separators up to `end`.

        `cut`: the line was cut off in its last value.
        """
        if self.text[end : end + 1] == bracket:
            self.rules.update(("trailing_commas",) if "," in self.text[at:end] else ())
            return end + 1
        if end < len(self.text):
            if not match_unfinished(self.text, at):
                raise _NotReadable
            cut = True
        if cut:
            self.rules.add("cut_off")
        (self.implied if cut and depth == 0 else self.rules).add("missing_braces")
        return len(self.text)

    def _other_key(self, match: re.Match[str]) -> str:
        """Return a key that is not a JSON string without escapes."""
        if (key := match["key"]) is not None:
            return str(msgspec.json.decode(key))
        if (key := match["single_key"]) is not None:
            self.rules.add("single_quotes")
            return key[1:-1]
        if match["sign"] == ":":
            self.rules.add("bare_words")
        return match["bare_key"]

    def _check_gap(self, gap: str, first: bool, spaced: bool) -> None:
        """Note commas too many or too few before a member or an item; `spaced` ones may have just a space."""
        separators = sum(map(gap.count, ",;|&"))
        if separators > (not first):
            self.rules.add("trailing_commas")
        elif not first and not spaced and "," not in gap:
            self.rules.add("missing_commas")

    def _value(self, match: re.Match[str], depth: int) -> tuple[_Value, int]:
        """Return the value of a matched member or item, and where it ends."""
        form, end = match.lastgroup or "", match.end()
        if form == "json":
            return (match[form], _content(match[form])), end
        if form != "open":
            is_pair = "sign" in match.re.groupindex and match["sign"] == "="
            return self._other_value(form, match[form], is_pair), end
        if depth >= MAX_DEPTH:
            raise _NotReadable
        if match[form] == "[":
            return self._items(end, depth + 1)
        members, end = self.members(end, True, depth + 1)
        return (object_text(members), None), end

    def _other_value(self, form: str, written: str, is_pair: bool) -> _Value:
        """Return a value that is not written as in JSON; in key=value pairs quotes are not expected."""
        if form == "raw":
            self.rules.add("control_characters")
            written = control_character.sub(lambda match: f"\\u{ord(match[0]):04x}", written)
            return written, _content(written)
        if form == "single":
            self.rules.add("single_quotes")
            return _from_single_quotes(written[1:-1])
        if form == "literal":
            self.rules.add("literals")
            return _LITERALS.get(written, "null"), _LITERALS.get(written, "")
        if not is_pair:
            self.rules.add("bare_words")
        text = written.replace(",", ".") if form == "time" else written
        return quote(text), text


def _contents(text: str) -> dict[str, str]:
    """Return key -> content of a text that is key=value throughout; refuse a key that has two values."""
    if text.isprintable() and not ("," in text or ";" in text or "|" in text or "&" in text):  # but spaces
        words = text.replace("=", " ").split()
        contents = dict(zip(words[::2], words[1::2], strict=True))
        if len(contents) * 2 == len(words):
            return contents
    contents = {}
    _add(find_pairs(text), contents)
    return contents


def object_text(members: Mapping[str, Member]) -> str:
    """Return the JSON object that has `members`."""
    texts = [
        f"{quote(key)}:{member if member.__class__ is str else member[0]}" for key, member in members.items()
    ]
    return f"{{{','.join(texts)}}}"


def _add(pairs: Iterable[tuple[str, _Item]], members: dict[str, _Item]) -> None:
    """Add `pairs` to `members`; refuse a key that has two values."""
    for key, member in pairs:
        if members.setdefault(key, member) != member:
            raise _NotReadable


def _from_single_quotes(content: str) -> _Value:
    if "\\" not in content:
        return quote(content), content
    text = escape.sub(lambda match: "'" if match[1] == "'" else match[0], content)
    text = '"' + unescaped_quote.sub('\\\\"', text) + '"'
    return text, _content(text)


def _content(json_text: str) -> str:
    """Return the content of a JSON string, or any other scalar as it is written."""
    if json_text[0] != '"' or "\\" not in json_text:
        return json_text.strip('"')
    try:
        return str(msgspec.json.decode(json_text))
    except msgspec.DecodeError as error:
        raise _NotReadable from error


def _may_be_cut(match: re.Match[str]) -> bool:
    """Tell whether a value could have continued; strings and brackets have ends, and so do true, false and null."""
    form = match.lastgroup
    return form in ("time", "bare") or (form == "json" and match["json"][0] not in '"tfn')


def _end_of_separators(text: str, at: int) -> int:
    match = match_separators(text, at)
    return at if match is None else match.end()
