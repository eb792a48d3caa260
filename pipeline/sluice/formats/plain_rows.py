"""Rows of CSV that the native core converts to lines, as `RowConverter` does; see `sluice.native_core`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sluice.contracts import ValueType
from sluice.native_core import native_core

Part = str | tuple[int, ValueType]
"""A text of a line, or the index of the field that stands there and the type that it is converted to."""


def parts_of(pieces: Sequence[str], types: Sequence[ValueType | None]) -> list[Part] | None:
    """Return the parts of a line; None if the core does not convert to one of the types.

    Args:
        pieces: texts of a line, and between them the indexes of the fields.
        types: of each field; None is one that the core does not know.

    """
    parts: list[Part] = []
    for place, piece in enumerate(pieces):
        value_type = types[int(piece)] if place % 2 else None
        if place % 2 and value_type is None:
            return None
        parts.append(piece if value_type is None else (int(piece), value_type))
    return parts


class PlainRows:
    """Converts the plain rows of one header."""

    def __init__(
        self, delimiter: str, width: int, route: int | None, layouts: Sequence[tuple[str, Sequence[Part]]]
    ) -> None:
        """Give the core the layouts.

        Args:
            delimiter: of the fields.
            width: the number of fields.
            route: the index of the field that names the layout of a row; None if all rows have the only one.
            layouts: event type, and what a line is put together from.

        """
        core, self._rows = native_core(), None
        if core is not None and layouts and delimiter.isascii():
            self._rows = core.Rows(ord(delimiter), width, route, layouts)

    def lines(self, rows: Sequence[bytes]) -> tuple[list[Any], Sequence[int]] | None:
        """Return a line for each row, None if it is not plain, and the indexes of such rows; None without the core."""
        if self._rows is None:
            return None
        lines, others = self._rows.lines(list(rows))
        return lines, others
