"""Texts in named columns -> JSON of the types that a contract declares, for formats whose values have no types.

A text becomes a value of its property's type: `12` an integer, `19.90` a number, `yes` a boolean, a day its first
instant. A text that is no such value stays a string, which validation then rejects. An empty text is null. Nothing is
guessed: `1,234` may be either of two numbers, and stays a string, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import count
from json.encoder import encode_basestring as quote  # in C
from typing import NamedTuple

import msgspec

from sluice.contracts import Contract, Path, Property, ValueType, by_type
from sluice.contracts.names import fold_name

Encode = Callable[[str], str]
"""Text -> JSON text."""


class Column(NamedTuple):
    """The values of a column as JSON texts; `unquoted`: strings that still need quotes around each."""

    texts: Sequence[str]
    unquoted: bool


class _Names:
    """Paths by the names that columns have for them."""

    def __init__(self) -> None:
        self._same: dict[str, Path] = {}
        self._similar: dict[str, Path | None] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._similar)

    def add(self, name: str, path: Path) -> None:
        self._same[fold_name(name)] = path
        key = fold_column(name)
        self._similar[key] = path if self._similar.get(key, path) == path else None

    def same(self, name: str) -> Path | None:
        """Return the path of a name that is the same but for its case."""
        return self._same.get(fold_name(name.strip()))

    def similar(self, name: str) -> Path | None:
        """Return the path of the only name that is the same but for its case, blanks, dashes and underscores."""
        return self._similar.get(fold_column(name))

    def find(self, name: str) -> Path | None:
        """Return the path of a name that is the same, or else similar."""
        path = self.same(name)
        return self.similar(name) if path is None else path


class Columns:
    """The properties of a contract, by the names that columns of a format without nesting may have."""

    def __init__(self, contract: Contract | None) -> None:
        """Without a contract all columns are strings."""
        self._types: dict[Path, ValueType] = {}
        self._day_first = set[Path]()
        self._names = _Names()
        self._aliases = _Names()
        for prop in () if contract is None else contract.properties:
            if prop.from_source is not None:  # whatever a column of this name holds is replaced
                continue
            self._add((prop.name,), prop)
            for inner in prop.properties:
                self._add((prop.name, inner.name), inner, flat=prop.flatten)

    def _add(self, path: Path, prop: Property, flat: bool = False) -> None:
        self._types[path] = prop.type
        if prop.day_first:
            self._day_first.add(path)
        self._names.add(".".join(path), path)
        if flat:
            self._names.add(prop.name, path)
        for alias in prop.aliases:
            self._aliases.add(alias, path)

    @property
    def names(self) -> Iterable[str]:
        """Every name that a column can have, in lower case."""
        return {*self._aliases, *self._names}

    def find(self, name: str, taken: Iterable[Path] = ()) -> Path:
        """Return the path of a column called `name`; an alias does not count for a path that is `taken`."""
        path = self._find_name(name)
        if path is not None:
            return path
        path = self._aliases.find(name)
        if path is not None and path not in taken:
            return path
        head, _, rest = name.partition(".")
        return (head, rest) if rest and self._types.get((head,)) == "object" else (name,)

    def _find_name(self, name: str) -> Path | None:
        """Return the path of the property that a column is named after, and not after an alias."""
        path = self._names.same(name)
        return path if path is not None or self._aliases.same(name) is not None else self._names.similar(name)

    def encoder(self, path: Path) -> Encode:
        """Return what converts a text to JSON of the type at `path`; a path outside the contract is a string."""
        encode = _ENCODERS[self._types.get(path, "string")]
        return partial(_day_first, encode) if path in self._day_first else encode

    def column_encoder(self, path: Path, *, decimal_comma: bool = False) -> Callable[[Sequence[str]], Column]:
        """Return what converts many texts at once, in a fraction of the time if all are canonical already.

        In a column whose numbers have a `decimal_comma`, `1.234` may be either of two numbers.
        """
        value_type = self._types.get(path, "string")
        if decimal_comma and value_type in ("float", "decimal"):
            return _encode_comma_column
        if path in self._day_first:
            return partial(_encode_distinct, self.encoder(path))
        return partial(_encode_column, value_type)

    def plain_type(self, path: Path, *, decimal_comma: bool = False) -> ValueType | None:
        """Return the type whose texts the native core converts as `column_encoder` does; None if it does not."""
        value_type = self._types.get(path, "string")
        if path in self._day_first or value_type in ("object", "array", "json"):
            return None
        return None if decimal_comma and value_type in ("float", "decimal") else value_type

    def place(self, names: Sequence[str]) -> list[Path]:
        """Return the path of each column of a header. A name takes precedence over an alias, in any order.

        Of columns outside the contract with one name, the second is `name_2`, and so on.
        """
        exact = list(map(self._find_name, names))
        taken = {path for path in exact if path is not None}
        paths: list[Path] = []
        for name, path in zip(names, exact, strict=True):
            found = self.find(name, taken) if path is None else path
            if found in taken and found not in self._types:
                numbers = (f"{found[-1]}_{number}" for number in count(2))
                found = next(
                    (*found[:-1], numbered)
                    for numbered in numbers
                    if numbered not in names and (*found[:-1], numbered) not in taken
                )
            paths.append(found)
            taken.add(found)
        return paths


def nested(values: Mapping[Path, str]) -> str:
    """Return the JSON object that has `values` (path of one or two names -> JSON text), which are not checked."""
    members: dict[str, str] = {}
    objects: dict[str, list[str]] = {}
    for path, value in values.items():
        if len(path) == 1:
            members[path[0]] = value
        else:
            members[path[0]] = ""
            objects.setdefault(path[0], []).append(f"{quote(path[-1])}:{value}")
    for key, inner in objects.items():
        members[key] = f"{{{','.join(inner)}}}"
    return f"{{{','.join([f'{quote(key)}:{value}' for key, value in members.items()])}}}"


@lru_cache(maxsize=4096)
def fold_column(name: str) -> str:
    """Return the same text for names of columns that mean one property: `Unit Price`, `unit-price` and `unit_price`."""
    return re.sub(r"[\s-]+", "_", fold_name(name.strip()))


class _Canonical(NamedTuple):
    """The texts of a type that no encoder would change, but for quotes around them."""

    match: Callable[[str], object]
    """Matches such texts with line feeds between them."""
    unquoted: bool


def _canonical(pattern: str, *, unquoted: bool) -> _Canonical:
    return _Canonical(re.compile(rf"(?>(?:{pattern}\n)*){pattern}").fullmatch, unquoted)


def _encode_column(value_type: ValueType, texts: Sequence[str]) -> Column:
    canonical, encode = _CANONICAL[value_type], _ENCODERS[value_type]
    if canonical is not None:
        joined = "\n".join(texts)
        if canonical.match(joined) and joined.count("\n") == len(texts) - 1:
            return Column(texts, canonical.unquoted)
    return _encode_distinct(encode, texts)


def _encode_distinct(encode: Encode, texts: Sequence[str]) -> Column:
    distinct = set(texts)
    if len(distinct) * 2 <= len(texts):
        encoded = {text: encode(text) for text in distinct}
        return Column([encoded[text] for text in texts], unquoted=False)
    return Column(list(map(encode, texts)), unquoted=False)


def _encode_comma_column(texts: Sequence[str]) -> Column:
    return Column([quote(text) if _group(text.strip()) else _decimal(text) for text in texts], unquoted=False)


_INTEGER = r"-?(?:0|[1-9][0-9]{0,17})"
_NUMBER = r"-?(?:0|[1-9][0-9]{0,28})(?:\.[0-9]++)?"
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = rf"{_DATE}[T ][0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}(?:\.[0-9]++)?"
_OFFSET = r"(?:Z|[+-][0-9]{2}:?[0-9]{2})"
_integer_text = re.compile(_INTEGER).fullmatch
_signed = re.compile(r"([+-]?)([0-9]++)").fullmatch
_number_text = re.compile(_NUMBER).fullmatch
_number = re.compile(r"([+-]?)0*+([0-9]*+)(?:\.([0-9]*+))?([eE][+-]?[0-9]++)?").fullmatch
_comma_decimal = re.compile(r"[+-]?(?:[0-9]{1,3}(?:\.[0-9]{3})+|[0-9]+),[0-9]{1,2}").fullmatch
"""Certainly a decimal comma: one or two digits behind it are no group of thousands."""
_point_groups = re.compile(r"[+-]?[0-9]{1,3}(?:\.[0-9]{3}){2,}").fullmatch
"""Certainly points between thousands: a number has one decimal point."""
_group = re.compile(r"[+-]?[1-9][0-9]{0,2}\.[0-9]{3}").fullmatch
"""Three digits behind a point: decimals, or a group of thousands."""
_comma_groups = re.compile(r"[+-]?[0-9]{1,3}(?:,[0-9]{3})+\.[0-9]+").fullmatch
"""Certainly commas between thousands: there is a decimal point as well."""
_time_text = re.compile(rf"{_TIME}({_OFFSET})?").fullmatch
_day = re.compile(_DATE).fullmatch
_to_the_minute = re.compile(rf"({_DATE}[T ][0-9]{{2}}:[0-9]{{2}})({_OFFSET})?").fullmatch
_point_date = re.compile(
    r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})(?:[T ]([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?)?"
).fullmatch
"""Day, month and year with points between them, as DIN 5008 has them, and a time of the day."""
_BOOLEANS = {"true": "true", "false": "false", "yes": "true", "no": "false", "1": "true", "0": "false"}


def encode_text(value_type: ValueType, text: str) -> str:
    """Return one text as JSON of a type; a text that is no such value is a string."""
    return _ENCODERS[value_type](text)


def decimal_mark(text: str) -> str:
    """Return the decimal mark of a number, `,` or `.`; `?` if it may be either of two numbers; else nothing."""
    if "," not in text and "." not in text:
        return ""
    bare = text.strip()
    if _comma_decimal(bare) or _point_groups(bare):
        return ","
    if _group(bare):
        return "?"
    match = _number(bare.replace(",", "") if _comma_groups(bare) else bare)
    return "." if match is not None and match[3] else ""


def _string(text: str) -> str:
    return quote(text) if text else "null"


def _integer(text: str) -> str:
    if _integer_text(text):
        return text
    match = _signed(text.strip())
    if match is None:
        return _unconverted(text)
    return f"{match[1].replace('+', '')}{match[2].lstrip('0') or '0'}"


def _decimal(text: str) -> str:
    if _number_text(text):
        return text
    bare = text.strip()
    if _comma_decimal(bare):
        bare = bare.replace(".", "").replace(",", ".")
    elif _comma_groups(bare):
        bare = bare.replace(",", "")
    match = _number(bare)
    if match is None or not (match[2] or match[3]):
        return _unconverted(text)
    sign, whole, fraction, exponent = (group or "" for group in match.groups())
    return f"{sign.replace('+', '')}{whole or '0'}{'.' + fraction if fraction else ''}{exponent}"


def _boolean(text: str) -> str:
    return _BOOLEANS.get(text.strip().lower()) or _unconverted(text)


def _timestamp(text: str) -> str:
    if match := _time_text(text):
        return f'"{text}"' if match[1] else f'"{text}Z"'
    bare = text.strip()
    if _day(bare):
        return f'"{bare}T00:00:00Z"'
    if match := _to_the_minute(bare):
        return f'"{match[1]}:00{match[2] or "Z"}"'
    return _unconverted(bare)


def _date(text: str) -> str:
    return _string(text.strip())


def _day_first(encode: Encode, text: str) -> str:
    """Encode a date or a time, whose day may come first."""
    match = _point_date(text.strip())
    if match is None:
        return encode(text)
    day, month, year, hour, minute, second = match.groups()
    iso = f"{year}-{month:0>2}-{day:0>2}"
    return encode(iso if hour is None else f"{iso}T{hour:0>2}:{minute}:{second or '00'}")


def _json(text: str) -> str:
    try:
        return msgspec.json.format(text.encode(), indent=-1).decode() if text.strip() else "null"
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return quote(text)


def _unconverted(text: str) -> str:
    """Return the JSON of a text that is no value of its type: null if it is blank, else the text as a string."""
    return quote(text) if text.strip() else "null"


_ENCODERS: Mapping[ValueType, Encode] = by_type(
    {
        "string": _string,
        "uuid": _date,
        "integer": _integer,
        "float": _decimal,
        "decimal": _decimal,
        "boolean": _boolean,
        "timestamp": _timestamp,
        "date": _date,
        "object": _json,
        "array": _json,
        "json": _json,
    }
)

_CANONICAL: Mapping[ValueType, _Canonical | None] = by_type(
    {
        "string": _canonical(r"[^\x00-\x1f\"\\]++", unquoted=True),
        "uuid": _canonical(r"[0-9A-Za-z-]++", unquoted=True),
        "integer": _canonical(_INTEGER, unquoted=False),
        "float": _canonical(_NUMBER, unquoted=False),
        "decimal": _canonical(_NUMBER, unquoted=False),
        "boolean": None,
        "timestamp": _canonical(_TIME + _OFFSET, unquoted=True),
        "date": _canonical(_DATE, unquoted=True),
        "object": None,
        "array": None,
        "json": None,
    }
)
