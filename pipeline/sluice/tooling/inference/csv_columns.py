"""Rows of CSV files -> what their columns are: a name that every warehouse takes, and a type that suits every text.

A type suits a column if each of its texts becomes a value of it, as in a run. What a run would leave as text, such as
`1.234` in a column with decimal commas, makes the column one of strings.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from sluice.contracts import Contract, Property, ValueType
from sluice.elements import RecordBatch
from sluice.errors import SourceError
from sluice.formats.csv_conversion import RowConverter
from sluice.formats.text_coercion import Columns, fold_column
from sluice.provenance import CsvDialect
from sluice.tooling.inference.observations import is_date
from sluice.validation.value_checks import instant

_would_lose_digits = re.compile(r"\+.*|-?0[0-9]+").fullmatch
"""A postal code or a telephone number: a number would not keep its zeros or its plus."""

_is_article = re.compile(r"[0-9]+[eE][0-9]+").fullmatch
"""An article number rather than a number with an exponent."""

_is_word = re.compile(r"true|false|yes|no", re.IGNORECASE).fullmatch

_GERMAN = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"})

_decode = msgspec.json.Decoder(dict[str, str | None]).decode

_Texts = Mapping[bool, set[str]]
"""Whether the numbers of a column have decimal commas in a file -> the texts of the column, without blank ones."""


def infer_columns(batches: Iterable[RecordBatch]) -> Contract | None:
    """Return the columns of the CSV files among `batches` as a contract that names them; None if there are none.

    Raises:
        SourceError: two columns of a file have one name.

    """
    texts: dict[str, defaultdict[bool, set[str]]] = {}
    for batch in batches:
        if batch.dialect is not None:
            _check_header(batch.dialect.columns)
            _collect(batch.records, batch.dialect, texts)
    if not texts:
        return None
    names = column_names(texts)
    return _contract(_column(names[column], column, values) for column, values in texts.items())


def column_names(columns: Iterable[str]) -> dict[str, str]:
    """Return column -> the name of its property: ASCII letters, digits and underscores, each name once."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for column in columns:
        stem = name = _plain(column) or "column"
        number = 1
        while name.lower() in taken:
            number += 1
            name = f"{stem}_{number}"
        taken.add(name.lower())
        names[column] = name
    return names


def _plain(column: str) -> str:
    ascii_text = unicodedata.normalize("NFKD", column.translate(_GERMAN)).encode("ascii", "ignore").decode()
    name = re.sub(r"\W+", "_", ascii_text).strip("_")
    if not name[:1].islower():  # what begins so may be camelCase
        name = name.lower()
    return f"column_{name}" if name[:1].isdigit() else name


def _check_header(columns: Sequence[str]) -> None:
    owners: dict[str, str] = {}
    for column in columns:
        other = owners.setdefault(fold_column(column), column)
        if other is not column:
            message = (
                f"expected a header with one column of each name, got {other!r} and {column!r}; rename one"
            )
            raise SourceError(message)


def _collect(
    records: Sequence[bytes], dialect: CsvDialect, texts: dict[str, defaultdict[bool, set[str]]]
) -> None:
    """Add the texts of rows; rows that are broken have none."""
    for column in dialect.columns:
        texts.setdefault(column, defaultdict(set))
    for line in RowConverter(dialect, {}, None).convert(records)[0]:
        for column, text in (_decode(line) if line else {}).items():
            if text is not None and text.strip():
                texts[column][column in dialect.decimal_commas].add(text)


def _contract(properties: Iterable[Property]) -> Contract:
    return Contract("columns", "columns", "columns", "1.0.0", "columns", "", tuple(properties), None)


def _column(name: str, column: str, texts: _Texts) -> Property:
    """Return the property of a column, with an alias if a run would not find it by its name."""
    aliases = () if fold_column(column) == fold_column(name) else (column,)
    return next(prop for prop in _candidates(name, aliases, texts) if _suits(prop, texts))


def _candidates(name: str, aliases: tuple[str, ...], texts: _Texts) -> Iterator[Property]:
    """Yield the types that the texts may have, the narrowest first."""
    every = {text.strip() for values in texts.values() for text in values}
    types: tuple[ValueType, ...] = ("date", "timestamp", "string")
    if every and all(map(_is_word, every)):
        types = ("boolean",)
    elif every and not any(_would_lose_digits(text) or _is_article(text) for text in every):
        types = ("integer", "decimal", *types)
    for value_type in types if every else ("string",):
        yield Property(name, value_type, aliases=aliases)
        if value_type in ("date", "timestamp"):
            yield Property(name, value_type, aliases=aliases, day_first=True)


def _suits(prop: Property, texts: _Texts) -> bool:
    """Tell whether a run makes values of all texts."""
    columns = Columns(_contract([prop]))
    return all(
        _is_value(prop.type, encoded)
        for decimal_comma, values in texts.items()
        for encoded in _encoded(columns, prop, sorted(values), decimal_comma)
    )


def _encoded(columns: Columns, prop: Property, texts: Sequence[str], decimal_comma: bool) -> Sequence[str]:
    column = columns.column_encoder((prop.name,), decimal_comma=decimal_comma)(texts)
    return [f'"{text}"' for text in column.texts] if column.unquoted else column.texts


def _is_value(value_type: ValueType, encoded: str) -> bool:
    match value_type:
        case "integer" | "decimal" | "boolean":
            return not encoded.startswith('"')
        case "date":
            return is_date(msgspec.json.decode(encoded))
        case "timestamp":
            return instant(msgspec.json.decode(encoded)) is not None
    return True
