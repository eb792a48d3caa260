r"""Malformed log line -> the members of the object that it was meant to be. Never a guess.

The grammar is wider than JSON in exactly the ways that `sluice.contracts.REPAIR_RULES` names. Every character of the
object must have its place in it, or the line is not read. So `"a": "12" TV", "b": 1`, two events on one line, or a
key with two values are rejected, and a value that may have been cut off is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from json.encoder import encode_basestring as quote  # in C

import msgspec

_MAX_DEPTH = 32
_MAX_STARTS = 4
"""At how many braces the object may begin: those before it are in text, such as `{req-1} {"user_id": …`."""

_JSON_STRING = r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+"'
_RAW_STRING = r'"(?:[^"\\]|\\.)*+"'
_CURLY = r"[\u2018\u2019][^\u2018\u2019]*+[\u2018\u2019]|[\u201c\u201d][^\u201c\u201d]*+[\u201c\u201d]"
_SINGLE = rf"'(?:[^'\\]|\\.)*+'|{_CURLY}"
_TIME = r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"
_END = r"(?=[\s,;|&}\])]|\Z)"
_KEY = r"[A-Za-z_@$][\w.@$-]*+"
_LITERAL = "True|False|None|NaN|nan|undefined"
_NOT_BARE = r"""\s,;|&"'{}\[\]()=\u2018\u2019\u201c\u201d"""
"""Characters that a value without quotes cannot contain."""

_match_member = re.compile(
    rf"""
    (?P<gap>[\s,;|&]*+)
    (?: (?P<key>{_JSON_STRING}) | (?P<single_key>{_SINGLE}) | (?P<bare_key>{_KEY}) )
    \s*+ (?P<sign>[:=]) \s*+
    (?: (?P<json>{_JSON_STRING} | (?:-?(?:0|[1-9]\d*+)(?:\.\d++)?(?:[eE][+-]?\d++)?|true|false|null){_END})
      | (?P<open>[{{\[])
      | (?P<raw>{_RAW_STRING})
      | (?P<single>{_SINGLE})
      | (?P<time>{_TIME}){_END}
      | (?P<literal>{_LITERAL}){_END}
      | (?P<bare>[^{_NOT_BARE}]++){_END}
    )
    """,
    re.VERBOSE | re.ASCII,
).match
_match_item = re.compile(
    rf"""
    (?P<gap>[\s,]*+)
    (?: (?P<json>{_JSON_STRING} | (?:-?(?:0|[1-9]\d*+)(?:\.\d++)?(?:[eE][+-]?\d++)?|true|false|null){_END})
      | (?P<open>[{{\[])
      | (?P<raw>{_RAW_STRING})
      | (?P<single>{_SINGLE})
      | (?P<literal>{_LITERAL}){_END}
      | (?P<bare>[^{_NOT_BARE}:]++){_END}
    )
    """,
    re.VERBOSE | re.ASCII,
).match
_match_unfinished = re.compile(
    r"""\s*+,?\s*+(?:"[^"]*+(?:"\s*+(?::\s*+(?:"[^"]*+)?)?)?|'[^']*+(?:'\s*+(?::\s*+(?:'[^']*+)?)?)?|[\w.-]*+\s*+:?\s*+["']?[^"'{}\[\]=:]*+)\Z"""
).match
"""The end of a line that was cut off: a member, or an item, that has no end."""

_match_separators = re.compile(r"[\s,;]*+").match
_match_quoted_key = re.compile(r"""\s*+(?:"[^"\\]*+"|'[^'\\]*+')\s*+[:=]""").match
_search_word = re.compile(r"\w").search
_control_character = re.compile(r"[\x00-\x1f]")
_unescaped_quote = re.compile(r'(?<!\\)"')
_escape = re.compile(r"\\(.)", re.DOTALL)
_LITERALS = {"True": "true", "False": "false"}
_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


Member = tuple[str, str | None]
"""A value as JSON text, and its content where values have no types (key=value), else None."""


@dataclass(slots=True)
class Reading:
    """What a line says: members of the object by key, the rules that were needed, and the text before the object."""

    before: str
    rules: set[str]
    members: dict[str, Member] = field(default_factory=dict)


class LineGrammar:
    """Reads malformed lines whose objects have members of known names."""

    def __init__(self, names: Iterable[str]) -> None:
        """Take the names of columns, in any case; an object without braces begins at the first of them."""
        alternatives = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
        self._search_known_key = re.compile(
            rf"""(?<![\w.-])["']?(?:{alternatives})["']?\s*+[:=]""", re.IGNORECASE
        ).search

    def read(self, line: str) -> Reading:
        """Return the first reading that the grammar allows; one without members if there is none."""
        text, rules = _unescape_object(line)
        for start in self._starts(text):
            reader = _ObjectReader(text, {*rules})
            braced = text[start] == "{"
            try:
                members, end = reader.members(start + braced, braced, 0)
                self._check_rest(text[end:], braced, reader.rules)
            except _NotReadable:
                continue
            before = text[:start]
            if before.strip():
                reader.rules.add("text_around")
            return Reading(before, reader.rules, members)
        return Reading(text, {*rules})

    def _starts(self, text: str) -> Iterator[int]:
        """Yield where the object, or its members without a brace, may begin, the likeliest first."""
        brace = text.find("{")
        if brace < 0 or text[:brace].strip():
            known = self._search_known_key(text)
            first = 0 if _match_quoted_key(text) else known.start() if known is not None else -1
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
        if "{" in rest or self._search_known_key(rest) or (not braced and _search_word(rest)):
            raise _NotReadable
        if not rest.strip(",;"):
            rules.add("trailing_commas")
        else:
            rules.add("missing_braces" if rest in "}}" else "text_around")


class _NotReadable(Exception):
    """The text does not fit the grammar."""


class _ObjectReader:
    """Reads one object from a text, and notes the rules that it needs."""

    def __init__(self, text: str, rules: set[str]) -> None:
        self.text = text
        self.rules = rules

    def members(self, at: int, braced: bool, depth: int) -> tuple[dict[str, Member], int]:
        """Return the members from `at` on, and where they end; `braced`: behind an opening brace."""
        text, rules = self.text, self.rules
        members: dict[str, Member] = {}
        uncertain_key = None  # its value may have lost its end with the line
        while (match := _match_member(text, at)) is not None:
            gap, key, sign, json_text = match.group("gap", "key", "sign", "json")
            at = match.end()
            key = self._other_key(match) if key is None or "\\" in key else key[1:-1]
            if gap.strip() != ("," if members else ""):
                self._check_gap(gap, not members, sign == "=")
            untyped = sign == "=" or (not braced and match["bare_key"] is not None)
            if sign == "=":
                rules.add("key_value")
            if json_text is not None:
                member: Member = (json_text, _content(json_text) if untyped else None)
            else:
                member, at = self._value(match, depth)
                member = member if untyped else (member[0], None)
            if members.setdefault(key, member) != member:
                raise _NotReadable
            uncertain_key = key if braced and at == len(text) and _may_be_cut(match) else None
        end = _end_of_separators(text, at)
        if not braced:
            closed = text[end : end + 1] == "}"
            rules.update(() if "key_value" in rules and not closed else ("missing_braces",))
            return members, end + 1 if closed else at
        if uncertain_key is not None:
            del members[uncertain_key]
            rules.add("cut_off")
        return members, self._end(at, end, "}")

    def _items(self, at: int, depth: int) -> tuple[Member, int]:
        """Return the array whose items begin at `at`, and where it ends."""
        items: list[str] = []
        while (match := _match_item(self.text, at)) is not None:
            member, end = self._value(match, depth)
            self._check_gap(match["gap"], not items, False)
            items.append(member[0])
            at = end
            if end == len(self.text) and _may_be_cut(match):
                items.pop()
                self.rules.add("cut_off")
        end = self._end(at, _end_of_separators(self.text, at), "]")
        return (f"[{','.join(items)}]", None), end

    def _end(self, at: int, end: int, bracket: str) -> int:
        """Return where an object or array ends whose last value ends at `at`, with separators up to `end`."""
        if self.text[end : end + 1] == bracket:
            self.rules.update(("trailing_commas",) if "," in self.text[at:end] else ())
            return end + 1
        if end < len(self.text) and not _match_unfinished(self.text, at):
            raise _NotReadable
        self.rules.update(("cut_off", "missing_braces") if end < len(self.text) else ("missing_braces",))
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

    def _value(self, match: re.Match[str], depth: int) -> tuple[Member, int]:
        """Return the value of a matched member or item, and where it ends."""
        form, end = match.lastgroup or "", match.end()
        if form == "json":
            return (match[form], _content(match[form])), end
        if form != "open":
            is_pair = "sign" in match.re.groupindex and match["sign"] == "="
            return self._other_value(form, match[form], is_pair), end
        if depth >= _MAX_DEPTH:
            raise _NotReadable
        if match[form] == "[":
            return self._items(end, depth + 1)
        members, end = self.members(end, True, depth + 1)
        inner = ",".join([f"{quote(key)}:{json_text}" for key, (json_text, _) in members.items()])
        return (f"{{{inner}}}", None), end

    def _other_value(self, form: str, written: str, is_pair: bool) -> Member:
        """Return a value that is not written as in JSON; in key=value pairs quotes are not expected."""
        if form == "raw":
            self.rules.add("control_characters")
            written = _control_character.sub(lambda match: f"\\u{ord(match[0]):04x}", written)
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


def _from_single_quotes(content: str) -> Member:
    if "\\" not in content:
        return quote(content), content
    text = _escape.sub(lambda match: "'" if match[1] == "'" else match[0], content)
    text = '"' + _unescaped_quote.sub('\\\\"', text) + '"'
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
    match = _match_separators(text, at)
    return at if match is None else match.end()


def _unescape_object(line: str) -> tuple[str, tuple[str, ...]]:
    """Return the text of a line that is a JSON string, or whose object has its quotes escaped, and the rule for it."""
    start = line.find("{")
    if start < 0 or '\\"' not in line[start : start + 8]:
        return line, ()
    stop = line.rfind("}") + 1 or len(line)
    try:
        inner = msgspec.json.decode(f'"{line[start:stop]}"', type=str)
    except _NOT_JSON:
        return line, ()
    before, behind = line[:start].removesuffix('"'), line[stop:].strip().removeprefix('"')
    return before + inner + behind, ("escaped",)
