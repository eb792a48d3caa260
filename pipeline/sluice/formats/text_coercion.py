"""Texts in named columns -> JSON objects as a contract describes them. For formats that have only texts.

A text becomes what its property's kind asks for: `12` an integer, `19.90` a number, `yes` a boolean, a day the
first instant of it. A text that does not fit stays a text, so that the contract refuses it in its own words.
An empty one is null. Nothing is guessed: `1,234` may be either of two numbers and stays a text, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from json.encoder import encode_basestring as quote  # in C
from typing import NamedTuple

import msgspec

from sluice.contracts import Contract, Property, ValueType

Path = tuple[str, ...]
"""Where a value belongs: its key, behind the keys of the objects around it."""

Encode = Callable[[str], str]
"""Text -> JSON text."""


class Column(NamedTuple):
    """The texts of a column as JSON; `quoted`: still without the quotes around each."""

    texts: Sequence[str]
    quoted: bool


class Columns:
    """The columns of a contract, by the names that a format without nesting may call them."""

    def __init__(self, contract: Contract | None) -> None:
        """Without a contract all columns are texts."""
        self._kinds: dict[Path, ValueType] = {}
        self._names: dict[str, Path] = {}
        self._aliases: dict[str, Path] = {}
        for prop in () if contract is None else contract.properties:
            self._add((prop.name,), prop)
            for inner in prop.properties:
                self._add((prop.name, inner.name), inner, flat=prop.flatten)

    def _add(self, path: Path, prop: Property, flat: bool = False) -> None:
        self._kinds[path] = prop.type
        self._names[_plain(".".join(path))] = path
        if flat:
            self._names[_plain(prop.name)] = path
        for alias in prop.aliases:
            self._aliases[_plain(alias)] = path

    @property
    def names(self) -> Iterable[str]:
        """Every name of a column, in lower case."""
        return {**self._aliases, **self._names}

    def find(self, name: str, taken: Iterable[Path] = ()) -> Path:
        """Return where a value called `name` belongs; an alias gives way to what is `taken`."""
        plain = _plain(name)
        if plain in self._names:
            return self._names[plain]
        if plain in self._aliases and self._aliases[plain] not in taken:
            return self._aliases[plain]
        head, _, rest = name.partition(".")
        return (head, rest) if rest and self._kinds.get((head,)) == "object" else (name,)

    def encoder(self, path: Path) -> Encode:
        """Return what writes a text as the JSON of the property at `path`; unknown ones are strings."""
        return _ENCODERS[self._kinds.get(path, "string")]

    def column_encoder(self, path: Path) -> Callable[[Sequence[str]], Column]:
        """Return what does the same for many texts, at a fraction of the time where all are written plainly."""
        return partial(_encode_column, self._kinds.get(path, "string"))

    def place(self, names: Sequence[str]) -> list[Path]:
        """Return where each column of a header belongs. A name beats an alias wherever it stands."""
        exact = [self._names.get(_plain(name)) for name in names]
        taken = {path for path in exact if path is not None}
        places: list[Path] = []
        for name, found in zip(names, exact, strict=True):
            places.append(self.find(name, taken) if found is None else found)
            taken.add(places[-1])
        return places


def nested(values: Mapping[Path, str]) -> str:
    """Return the JSON object of JSON texts by path, which are not looked at."""
    members: dict[str, list[str]] = {}
    for path, value in values.items():
        inner = f"{quote(path[-1])}:{value}"
        members.setdefault(path[0], []).append(inner if len(path) > 1 else value)
    depth = {path[0]: len(path) for path in values}
    return (
        "{"
        + ",".join(
            f"{quote(key)}:{{{','.join(held)}}}" if depth[key] > 1 else f"{quote(key)}:{held[-1]}"
            for key, held in members.items()
        )
        + "}"
    )


@lru_cache(maxsize=4096)
def _plain(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip().casefold())


class _Plain(NamedTuple):
    """Texts that are JSON as they are, or as soon as they have quotes."""

    match: Callable[[str], object]
    """Whether texts are such, with line feeds between them."""
    quoted: bool


def _plain_texts(pattern: str, *, quoted: bool) -> _Plain:
    return _Plain(re.compile(rf"(?:{pattern}\n)*+{pattern}").fullmatch, quoted)


def _encode_column(kind: ValueType, texts: Sequence[str]) -> Column:
    plain, encode = _PLAIN.get(kind), _ENCODERS[kind]
    if plain is not None:
        joined = "\n".join(texts)
        if plain.match(joined) and joined.count("\n") == len(texts) - 1:
            return Column(texts, plain.quoted)
    distinct = set(texts)
    if len(distinct) * 2 <= len(texts):
        known = {text: encode(text) for text in distinct}
        return Column([known[text] for text in texts], quoted=False)
    return Column(list(map(encode, texts)), quoted=False)


_INTEGER = r"-?(?:0|[1-9][0-9]{0,17})"
_NUMBER = r"-?(?:0|[1-9][0-9]{0,28})(?:\.[0-9]++)?"
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = rf"{_DATE}[T ][0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}(?:\.[0-9]++)?"
_OFFSET = r"(?:Z|[+-][0-9]{2}:?[0-9]{2})"
_integer_text = re.compile(_INTEGER).fullmatch
_signed = re.compile(r"([+-]?)0*([0-9]+)").fullmatch
_number_text = re.compile(_NUMBER).fullmatch
_number = re.compile(r"([+-]?)0*([0-9]*)(?:\.([0-9]*))?([eE][+-]?[0-9]+)?").fullmatch
_comma_decimal = re.compile(r"[+-]?(?:[0-9]{1,3}(?:\.[0-9]{3})+|[0-9]+),[0-9]{1,2}").fullmatch
"""A decimal comma for certain: one or two digits behind it are no group of thousands."""
_comma_groups = re.compile(r"[+-]?[0-9]{1,3}(?:,[0-9]{3})+\.[0-9]+").fullmatch
"""Commas between thousands for certain: there is a decimal point as well."""
_time_text = re.compile(rf"{_TIME}({_OFFSET})?").fullmatch
_day = re.compile(_DATE).fullmatch
_to_the_minute = re.compile(rf"({_DATE}[T ][0-9]{{2}}:[0-9]{{2}})({_OFFSET})?").fullmatch
_BOOLEANS = {"true": "true", "false": "false", "yes": "true", "no": "false", "1": "true", "0": "false"}


def _string(text: str) -> str:
    return quote(text) if text else "null"


def _integer(text: str) -> str:
    if _integer_text(text):
        return text
    found = _signed(text.strip())
    return _otherwise(text) if found is None else f"{found[1].replace('+', '')}{found[2]}"


def _decimal(text: str) -> str:
    if _number_text(text):
        return text
    bare = text.strip()
    if _comma_decimal(bare):
        bare = bare.replace(".", "").replace(",", ".")
    elif _comma_groups(bare):
        bare = bare.replace(",", "")
    found = _number(bare)
    if found is None or not (found[2] or found[3]):
        return _otherwise(text)
    sign, whole, part, power = (each or "" for each in found.groups())
    return f"{sign.replace('+', '')}{whole or '0'}{'.' + part if part else ''}{power}"


def _boolean(text: str) -> str:
    return _BOOLEANS.get(text.strip().lower()) or _otherwise(text)


def _timestamp(text: str) -> str:
    if found := _time_text(text):
        return f'"{text}"' if found[1] else f'"{text}Z"'
    bare = text.strip()
    if _day(bare):
        return f'"{bare}T00:00:00Z"'
    if found := _to_the_minute(bare):
        return f'"{found[1]}:00{found[2] or "Z"}"'
    return _otherwise(bare)


def _date(text: str) -> str:
    return _string(text.strip())


def _json(text: str) -> str:
    try:
        return msgspec.json.format(text.encode(), indent=-1).decode() if text.strip() else "null"
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return quote(text)


def _otherwise(text: str) -> str:
    """Return the JSON of a text that is not what it should be: null if it is blank, else itself."""
    return quote(text) if text.strip() else "null"


_ENCODERS: Mapping[ValueType, Encode] = {
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

_PLAIN: Mapping[ValueType, _Plain] = {
    "string": _plain_texts(r"[^\x00-\x1f\"\\]++", quoted=True),
    "uuid": _plain_texts(r"[0-9A-Za-z-]++", quoted=True),
    "integer": _plain_texts(_INTEGER, quoted=False),
    "float": _plain_texts(_NUMBER, quoted=False),
    "decimal": _plain_texts(_NUMBER, quoted=False),
    "timestamp": _plain_texts(_TIME + _OFFSET, quoted=True),
    "date": _plain_texts(_DATE, quoted=True),
}
"""Nothing among them that an encoder would change."""
