r"""Damaged log lines -> the JSON object that was meant, or nothing. Never a guess.

A line is read by a grammar that is wider than JSON in just the ways that rules name (`SALVAGE_RULES`): every
character of the object must have its place in it, or the line is not salvaged. So `"a": "12" TV", "b": 1`, two
events on one line, or a key with two values are left alone, and a value that may have been cut off is left out.
What a contract's own patterns find outside the object fills only what the object lacks.

A salvaged line says so: `"_repaired": {"rules": […], "line": "…"}`, with the rules that were used and the line
as it came.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from json.encoder import encode_basestring as quote  # in C
from typing import NamedTuple

import msgspec

from sluice.contracts import Contract
from sluice.formats.text_coercion import Columns, Path, nested

MAX_LINE_BYTES = 1 << 20
"""A longer line is no log line; it is not looked at."""

_MAX_DEPTH = 32
_MAX_STARTS = 4

_JSON_TEXT = r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+"'
_RAW_TEXT = r'"(?:[^"\\]|\\.)*+"'
_CURLY = r"[\u2018\u2019][^\u2018\u2019]*+[\u2018\u2019]|[\u201c\u201d][^\u201c\u201d]*+[\u201c\u201d]"
_SINGLE = rf"'(?:[^'\\]|\\.)*+'|{_CURLY}"
_TIME = r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"
_END = r"(?=[\s,;|&}\])]|\Z)"
_KEY = r"[A-Za-z_@$][\w.@$-]*+"
_LITERAL = "True|False|None|NaN|nan|undefined"
_NOT_BARE = r"""\s,;|&"'{}\[\]()=\u2018\u2019\u201c\u201d"""
"""What a value without quotes cannot hold."""

_member = re.compile(
    rf"""
    (?P<gap>[\s,;|&]*+)
    (?: (?P<key>{_JSON_TEXT}) | (?P<single_key>{_SINGLE}) | (?P<bare_key>{_KEY}) )
    \s*+ (?P<sign>[:=]) \s*+
    (?: (?P<json>{_JSON_TEXT} | (?:-?(?:0|[1-9]\d*+)(?:\.\d++)?(?:[eE][+-]?\d++)?|true|false|null){_END})
      | (?P<open>[{{\[])
      | (?P<raw>{_RAW_TEXT})
      | (?P<single>{_SINGLE})
      | (?P<time>{_TIME}){_END}
      | (?P<literal>{_LITERAL}){_END}
      | (?P<bare>[^{_NOT_BARE}]++){_END}
    )
    """,
    re.VERBOSE | re.ASCII,
).match
_item = re.compile(
    rf"""
    (?P<gap>[\s,]*+)
    (?: (?P<json>{_JSON_TEXT} | (?:-?(?:0|[1-9]\d*+)(?:\.\d++)?(?:[eE][+-]?\d++)?|true|false|null){_END})
      | (?P<open>[{{\[])
      | (?P<raw>{_RAW_TEXT})
      | (?P<single>{_SINGLE})
      | (?P<literal>{_LITERAL}){_END}
      | (?P<bare>[^{_NOT_BARE}:]++){_END}
    )
    """,
    re.VERBOSE | re.ASCII,
).match
_cut = re.compile(
    r"""\s*+,?\s*+(?:"[^"]*+(?:"\s*+(?::\s*+(?:"[^"]*+)?)?)?|'[^']*+(?:'\s*+(?::\s*+(?:'[^']*+)?)?)?|[\w.-]*+\s*+:?\s*+["']?[^"'{}\[\]=:]*+)\Z"""
).match
"""What a line that was cut off may end with: a member, or an item, that has no end."""
_PAIR = rf"{_KEY}=(?!(?:{_LITERAL})(?:[ ]|\Z))[^{_NOT_BARE}]++"
_pairs = re.compile(rf"{_PAIR}(?:[ ]{_PAIR})*+", re.ASCII).fullmatch
_filler = re.compile(r"[\s,;]*+").match
_quoted_key = re.compile(r"""\s*+(?:"[^"\\]*+"|'[^'\\]*+')\s*+[:=]""").match
_word = re.compile(r"\w").search
_control = re.compile(r"[\x00-\x1f]")
_bare_quote = re.compile(r'(?<!\\)"')
_escape = re.compile(r"\\(.)", re.DOTALL)
_LITERALS = {"True": "true", "False": "false"}
_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _LostError(Exception):
    """The line does not fit the grammar."""


class _Member(NamedTuple):
    """A value as JSON; `text` is what it says where only texts are written (key=value), else None."""

    json: str
    text: str | None


@dataclass(slots=True)
class _Reading:
    """What a line says: members of the object by key, rules that were needed, and the text before the object."""

    members: dict[str, _Member]
    used: set[str]
    before: str


class Mender:
    """Mends the damaged lines of some contracts, each by the rules that it names."""

    def __init__(self, contracts: Mapping[str, Contract], route_by: str | None) -> None:
        """Compile the rules of `contracts`, which the property `route_by` tells apart if there are several."""
        self._rules = {name: _Rules(contract) for name, contract in contracts.items() if contract.repair}
        self._route_by = route_by if len(contracts) > 1 else None
        words = {name for rules in self._rules.values() for name in rules.columns.names}
        known = "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
        self._known = re.compile(rf"""(?<![\w.-])["']?(?:{known})["']?\s*+[:=]""", re.IGNORECASE).search

    def mend(self, record: bytes) -> bytes | None:
        """Return the object that a damaged record was meant to be, as a line of JSON; None: it cannot be told."""
        if not self._rules or len(record) > MAX_LINE_BYTES:
            return None
        try:
            line = record.decode()
        except UnicodeDecodeError:
            return None
        if self._route_by is None:
            rules = next(iter(self._rules.values()))
            return self._mend_quickly(line, rules) or rules.write(self._read(line), line)
        reading = self._read(line)
        route = reading.members.get(self._route_by)
        for event_type, rules in self._rules.items():
            if route is not None and route.json == quote(event_type):
                return rules.write(reading, line)
        return None

    def _mend_quickly(self, line: str, rules: _Rules) -> bytes | None:
        """Return what the grammar would, for the kinds of damage that are common, at a fifth of the time.

        A few substitutions, none of them within a text, make JSON of such a line; a parser in C says whether they did.
        """
        whole, escaped = _unescaped(line)
        start = whole.find("{")
        if start < 0:
            return self._mend_pairs(line, rules)
        used = {*escaped}
        before, text = whole[:start].strip(), whole[start:].rstrip()
        if before and _quoted_key(whole):
            text = "{" + whole.strip()
            used.add("missing_braces")
        elif before:
            if self._known(whole, 0, start) or not rules.covers(before, whole):
                return None
            used.add("text_around")
        text = _quoted(_closed(text, used), used)
        body = _sound(text) if used else None  # usually that was all
        if body is None:
            body = _sound(_suspects.sub(partial(_mended, used), text))
        return None if body is None else rules.marked(body, used, line)

    def _mend_pairs(self, line: str, rules: _Rules) -> bytes | None:
        """Return what the grammar would make of plain `key=value`, with spaces between them, behind any text."""
        known = self._known(line)
        if known is None or not _pairs(line, known.start()):
            return None
        before, flat = line[: known.start()], line[known.start() :].split(" ")
        members = {key: _Member("", value) for key, _, value in [pair.partition("=") for pair in flat]}
        if len(members) < len(flat):
            return None
        used = {"key_value", "text_around"} if before.strip() else {"key_value"}
        return rules.write(_Reading(members, used, before), line)

    def _read(self, line: str) -> _Reading:
        """Return the first reading of a line that the grammar allows; one without members if there is none."""
        text, used = _unescaped(line)
        for at in self._starts(text):
            reading = _Reading({}, {*used}, text[:at])
            try:
                inside = text[at] == "{"
                members, end = _members(text, at + inside, reading.used, inside, 0)
                self._check_rest(text[end:], inside, reading.used)
            except _LostError:
                continue
            if reading.before.strip():
                reading.used.add("text_around")
            reading.members = members
            return reading
        return _Reading({}, {*used}, text)

    def _starts(self, text: str) -> Iterator[int]:
        """Yield where the object, or its members without a brace, may begin, the likeliest first."""
        brace = text.find("{")
        if brace < 0 or text[:brace].strip():
            known = self._known(text)
            first = 0 if _quoted_key(text) else known.start() if known is not None else -1
            if first >= 0 and (brace < 0 or first < brace):
                yield first
        for _ in range(_MAX_STARTS):
            if brace < 0:
                return
            yield brace
            brace = text.find("{", brace + 1)
            if self._known(text, 0, max(brace, 0)):  # what follows may be within the object
                return

    def _check_rest(self, rest: str, inside: bool, used: set[str]) -> None:
        """Refuse a second object, or more members, behind the first, and text that a bare value may go on with."""
        if bare := rest.strip():
            if "{" in bare or self._known(bare) or (not inside and _word(bare)):
                raise _LostError
            used.add(
                "trailing_commas"
                if not bare.strip(",;")
                else "missing_braces"
                if bare in "}}"
                else "text_around"
            )


class _Rules:
    """What one contract allows, and how its lines are written."""

    def __init__(self, contract: Contract) -> None:
        self.columns = Columns(contract)
        self._allowed = {name for name, _ in contract.repair}
        self._own = [(name, re.compile(pattern)) for name, pattern in contract.repair if pattern is not None]

    def write(self, reading: _Reading, line: str) -> bytes | None:
        """Return the line's object with the mark; None if it has no members or needs a rule that is not allowed."""
        values: dict[Path, str] = {}
        for key, member in reading.members.items():
            path = (key,) if member.text is None else self.columns.find(key)
            value = member.json if member.text is None else self.columns.encoder(path)(member.text)
            if values.setdefault(path, value) != value:
                return None
        if any(path[:1] != path and path[:1] in values for path in values):
            return None
        used = {*reading.used}
        for name, pattern in self._own:
            found = pattern.findall(reading.before)
            match = pattern.search(reading.before) if len(found) == 1 else None
            for group, text in match.groupdict().items() if match is not None else ():
                path = self.columns.find(group)
                if text and path not in values and path[:1] not in values:
                    values[path] = self.columns.encoder(path)(text)
                    used.add(name)
        return self.marked(nested(values).encode(), used, line) if values else None

    def covers(self, before: str, line: str) -> bool:
        """Whether the own patterns have nothing to add to an object in `line` from the text before it."""
        return not any(
            pattern.search(before) and not all(f'"{group}"' in line for group in pattern.groupindex)
            for _, pattern in self._own
        )

    def marked(self, body: bytes, used: set[str], line: str) -> bytes | None:
        """Return a JSON object, not empty, with the mark; None if a rule is not allowed."""
        if not used <= self._allowed:
            return None
        rules = ",".join(map(quote, sorted(used)))
        return body[:-1] + f',"_repaired":{{"rules":[{rules}],"line":{quote(line)}}}}}'.encode()


def _closed(text: str, used: set[str]) -> str:
    """Return the text of an object without what stands behind it, and with the braces that are missing."""
    end = text.rfind("}") + 1
    if 0 < end < len(text) and not _structure(text, end):
        used.add("trailing_commas" if not text[end:].strip(",; ") else "text_around")
        text = text[:end]
    missing = text.count("{") - text.count("}")
    if 0 < missing <= _MAX_STARTS and text[-1] not in '"}]':
        cut = text.rfind(",")
        if _cut(text, cut) and '"' in text:
            text = text[:cut]
            used.add("cut_off")
            missing = text.count("{") - text.count("}")
    if 0 < missing <= _MAX_STARTS and text[-1] in '"}]':
        used.add("missing_braces")
        return text + "}" * missing
    return text


def _quoted(text: str, used: set[str]) -> str:
    """Return the text of an object that has no double quotes with them."""
    if '"' in text or "\\" in text:
        return text
    if "'" in text:
        used.add("single_quotes")
        return text.replace("'", '"')
    used.add("bare_words")
    return _bare_key.sub(r'"\1"', _bare_value.sub(r'"\1"', text))


def _mended(used: set[str], match: re.Match[str]) -> str:
    rule = match.lastgroup
    if rule is None:
        return match[0]
    used.add(rule)
    return {"trailing_commas": "", "missing_commas": ","}.get(rule, f'"{match[rule]}"')


_suspects = re.compile(
    rf"""{_RAW_TEXT}
    | (?P<trailing_commas> ,(?=\s*+[,}}\]]) )
    | (?P<missing_commas> (?<=["}}\]0-9el])\s++(?=") )
    | (?<=[{{,])\s*+(?P<bare_words> {_KEY} )\s*+(?=:)
    """,
    re.VERBOSE | re.ASCII | re.DOTALL,
)
"""A text, which stays as it is, or what is odd outside of texts."""
_structure = re.compile(r"""["'{}\[\]:=]""").search
_bare_key = re.compile(rf"(?<=[{{,])\s*+({_KEY})\s*+(?=:)", re.ASCII)
_bare_value = re.compile(
    rf"(?<=:)\s*+(?!(?:-?[0-9.]++(?:[eE][+-]?\d++)?|true|false|null|{_LITERAL})\s*+[,}}])"
    r"""([^\s"'{}\[\],:;|&=()][^\s"'{}\[\],;|&=()]*+)(?=\s*+[,}])"""
)
_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def _sound(text: str) -> bytes | None:
    """Return the compact JSON of an object that has members, each key once; None if it is not such."""
    try:
        compact = msgspec.json.format(text.encode(), indent=-1)
        return compact if compact != b"{}" and _has_keys_once(compact) else None
    except (*_NOT_JSON, msgspec.ValidationError):
        return None


def _has_keys_once(compact: bytes | msgspec.Raw) -> bool:
    members = _object(compact)
    return len(msgspec.json.encode(members)) == len(bytes(compact)) and all(
        map(_has_keys_once, [raw for raw in members.values() if bytes(raw).startswith(b"{")])
    )


def _members(text: str, at: int, used: set[str], inside: bool, depth: int) -> tuple[dict[str, _Member], int]:
    """Return the members from `at` on, and where they end; `inside`: a brace was opened before them."""
    members: dict[str, _Member] = {}
    unsure = None  # the key whose value may have lost its end with the line
    while (match := _member(text, at)) is not None:
        gap, key, sign, plain = match.group("gap", "key", "sign", "json")
        at = match.end()
        key = _odd_key(match, used) if key is None or "\\" in key else key[1:-1]
        if gap.strip() != ("," if members else ""):
            _check_gap(gap, not members, sign == "=", used)
        flat = sign == "=" or (not inside and match["bare_key"] is not None)
        if sign == "=":
            used.add("key_value")
        if plain is not None:
            member = _Member(plain, _said(plain) if flat else None)
        else:
            member, at = _value(text, match, used, depth)
            member = member if flat else _Member(member.json, None)
        if members.setdefault(key, member) != member:
            raise _LostError
        unsure = key if inside and at == len(text) and _may_be_cut(match) else None
    filler = _filler(text, at)
    end = filler.end() if filler is not None else at
    if not inside:
        closed = text[end : end + 1] == "}"
        used.update(() if "key_value" in used and not closed else ("missing_braces",))
        return members, end + 1 if closed else at
    if unsure is not None:
        del members[unsure]
        used.add("cut_off")
    return members, _end(text, at, end, "}", used)


def _end(text: str, at: int, end: int, bracket: str, used: set[str]) -> int:
    """Return where an object or array ends whose last member ends at `at`, with commas and spaces up to `end`."""
    if text[end : end + 1] == bracket:
        used.update(("trailing_commas",) if "," in text[at:end] else ())
        return end + 1
    if end < len(text) and not _cut(text, at):
        raise _LostError
    used.add("cut_off" if end < len(text) else "missing_braces")
    return len(text)


def _odd_key(match: re.Match[str], used: set[str]) -> str:
    if (key := match["key"]) is not None:
        return str(msgspec.json.decode(key))
    if (key := match["single_key"]) is not None:
        used.add("single_quotes")
        return key[1:-1]
    if match["sign"] == ":":
        used.add("bare_words")
    return match["bare_key"]


def _check_gap(gap: str, first: bool, spaced: bool, used: set[str]) -> None:
    """Note what is odd about the separators before a member or an item."""
    marks = sum(map(gap.count, ",;|&"))
    if marks > (not first):
        used.add("trailing_commas")
    elif not first and not spaced and "," not in gap:
        used.add("missing_commas")


def _may_be_cut(match: re.Match[str]) -> bool:
    """Whether the value could have gone on: quotes and brackets have an end of their own, true, false, null too."""
    kind = match.lastgroup
    return kind in ("time", "bare") or (kind == "json" and match["json"][0] not in '"tfn')


def _value(text: str, match: re.Match[str], used: set[str], depth: int) -> tuple[_Member, int]:
    """Return the value of a matched member or item, and where it ends."""
    kind, end = match.lastgroup or "", match.end()
    if kind == "json":
        return _Member(match[kind], _said(match[kind])), end
    if kind != "open":
        return _odd_value(
            kind, match[kind], used, "sign" in match.re.groupindex and match["sign"] == "="
        ), end
    if depth >= _MAX_DEPTH:
        raise _LostError
    if match[kind] == "[":
        return _items(text, end, used, depth + 1)
    members, end = _members(text, end, used, True, depth + 1)
    return _Member(f"{{{','.join(f'{quote(key)}:{each.json}' for key, each in members.items())}}}", None), end


def _odd_value(kind: str, found: str, used: set[str], equals: bool) -> _Member:
    """Return a value that is not written as in JSON."""
    if kind == "raw":
        used.add("control_characters")
        found = _control.sub(lambda each: f"\\u{ord(each[0]):04x}", found)
        return _Member(found, _said(found))
    if kind == "single":
        used.add("single_quotes")
        said = found[1:-1]
        if "\\" not in said:
            return _Member(quote(said), said)
        text = _escape.sub(lambda each: "'" if each[1] == "'" else each[0], said)
        text = '"' + _bare_quote.sub('\\\\"', text) + '"'
        return _Member(text, _said(text))
    if kind == "literal":
        used.add("literals")
        return _Member(_LITERALS.get(found, "null"), _LITERALS.get(found, ""))
    if not equals:
        used.add("bare_words")
    text = found.replace(",", ".") if kind == "time" else found
    return _Member(quote(text), text)


def _said(found: str) -> str:
    if found[0] != '"' or "\\" not in found:
        return found.strip('"')
    try:
        return str(msgspec.json.decode(found))
    except msgspec.DecodeError as error:
        raise _LostError from error


def _items(text: str, at: int, used: set[str], depth: int) -> tuple[_Member, int]:
    """Return the array whose items begin at `at`."""
    items: list[str] = []
    while (match := _item(text, at)) is not None:
        member, end = _value(text, match, used, depth)
        _check_gap(match["gap"], not items, False, used)
        items.append(member.json)
        at = end
        if end == len(text) and _may_be_cut(match):
            items.pop()
            used.add("cut_off")
    filler = _filler(text, at)
    end = _end(text, at, filler.end() if filler is not None else at, "]", used)
    return _Member(f"[{','.join(items)}]", None), end


def _unescaped(line: str) -> tuple[str, tuple[str, ...]]:
    """Return the text of a line that is a JSON string, or whose object has its quotes escaped."""
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
