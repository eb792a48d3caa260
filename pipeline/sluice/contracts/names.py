"""Rules for the names in a contract that hold for every warehouse; what only one cannot hold is in its dialect.

Warehouses, file systems and producers fold case in different ways, so names are compared without it, and in Unicode's
composed form. Names that the product uses itself are reserved in any case.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from sluice.contracts.model import Contract, Mask
from sluice.contracts.odcs import KeyPath, show
from sluice.contracts.reserved import RESERVED_EVENT_TYPES, RESERVED_TABLES
from sluice.contracts.walk import ITEM, walk

_EVENT_TYPE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9_-])?")
"""An event type is a folder and the beginning of file names; some file systems drop a dot at the end."""

_TABLE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,127}")
"""A table is a folder and the stem of generated files, too."""

_UNQUOTABLE = frozenset('"\\')
"""msgspec takes no such characters in the key of a struct."""

_JOINERS = "\u200c\u200d"
"""Zero-width joiners: invisible, but needed to write some languages and emoji."""

_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories of control and format characters, lone surrogates and line separators:
https://www.unicode.org/reports/tr44/#General_Category_Values"""

_WORD = re.compile(r"[^A-Za-z0-9_]")


def fold_name(name: str) -> str:
    """Return the same text for names that some warehouse, file system or reader cannot tell apart."""
    if name.isascii():
        return name.lower()
    without_joiners = name.translate(dict.fromkeys(map(ord, _JOINERS)))
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", without_joiners).casefold())


def fold_event_type(name: str) -> str:
    """Return the same text for event types that make the same folder, file or macro: `a-b`, `A.b` and `a_b`."""
    return _WORD.sub("_", name).casefold()


def masked_names(contract: Contract) -> Iterator[tuple[str, Mask]]:
    """Yield each name and alias of a masked property, folded, and how it is masked."""
    for path, prop in walk(contract.properties):
        if prop.mask:
            name = next(part for part in reversed(path) if part != ITEM)
            yield from ((fold_name(text), prop.mask) for text in (name, *prop.aliases))


def check_event_type(place: KeyPath, name: str | None, *, internal: bool) -> None:
    """Check the name of a schema, at `place`; an `internal` contract is one of the product's own.

    Raises:
        ContractError: it has another form, or is reserved.

    """
    if not name or not _EVENT_TYPE.fullmatch(name):
        expected = "expected letters, digits, '_', '-' and '.', at most 128, beginning with a letter or digit"
        place.fail(f"{expected} and not ending with a dot, got {show(name)}")
    if not internal and fold_event_type(name) in RESERVED_EVENT_TYPES:
        place.fail(
            f"{name!r} is an event type of Sluice itself, like {_listed(RESERVED_EVENT_TYPES)}; rename it"
        )


def check_table(place: KeyPath, name: str | None, *, internal: bool) -> None:
    """Check the physical name of a schema, at `place`; an `internal` contract is one of the product's own.

    Raises:
        ContractError: it has another form, or is reserved.

    """
    if name and not internal and fold_name(name) in RESERVED_TABLES:
        place.fail(f"{name!r} is a table of Sluice itself, like {_listed(RESERVED_TABLES)}; rename it")
    if not name or not _TABLE.fullmatch(name):
        expected = "expected letters, digits and '_', at most 128, beginning with a letter"
        place.fail(f"{expected}, got {show(name)}")


def check_domain(place: KeyPath, name: str) -> None:
    """Check the domain of a contract, at `place`: it names folders, a dbt source and a dataset.

    Raises:
        ContractError: it has another form.

    """
    if not _EVENT_TYPE.fullmatch(name):
        expected = "expected letters, digits, '_', '-' and '.', at most 128, beginning with a letter or digit"
        place.fail(f"{expected} and not ending with a dot, got {show(name)}")


def check_property_name(place: KeyPath, name: str | None) -> None:
    """Check the name of a property, or of a member of one, at `place`.

    Raises:
        ContractError: it is empty, has characters that cannot be seen or quoted, or stands for something else.

    """
    if not name or not _UNQUOTABLE.isdisjoint(name):
        place.fail(f"expected a name without quotes and backslashes, got {show(name)}")
    for character in name:
        if unicodedata.category(character) in _INVISIBLE and character not in _JOINERS:
            place.fail(f"expected a name of visible characters, got U+{ord(character):04X} in {ascii(name)}")
    if name == ITEM:
        place.fail(f"{ITEM!r} stands for the items of an array; rename it")


def is_reserved_column(name: str) -> bool:
    """Tell whether a column would have a name such as Sluice gives to its own."""
    return unicodedata.normalize("NFKC", name).startswith("_")


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names))
