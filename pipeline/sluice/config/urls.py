"""Addresses of sources, stores and warehouses: a type whose printed form shows no secret; see `addresses`."""

from __future__ import annotations

import base64
from typing import Any

from sluice.addresses import mask


class Url:
    """An address as the user wrote it. `str`, `repr` and `format` show no secret; `reveal` returns all of it.

    `where` says where it was given, such as `jobs/shop.yaml: source` or `--source`, for messages. A pickle carries
    the whole address, because workers connect with it, but not as text that could be read in a log.
    """

    __slots__ = ("_shown", "_text", "where")

    def __init__(self, text: str, *, where: str = "", shown: str | None = None) -> None:
        """Take the whole address; `shown` is what to print of it, if a declaration knows better than `mask`."""
        self._text = text
        self._shown = mask(text) if shown is None else shown
        self.where = where

    @classmethod
    def of(cls, address: str | Url) -> Url:
        """Return `address` as a Url."""
        return cls(address) if isinstance(address, str) else address

    def reveal(self) -> str:
        """Return the whole address, with its secrets: for a client that connects, never for a message."""
        return self._text

    @property
    def label(self) -> str:
        """Where the address was given, and the address without its secrets: the beginning of a message about it."""
        return f"{self.prefix}{self}"

    @property
    def prefix(self) -> str:
        """Where the address was given, with a colon and a space; '' if that is not known."""
        return f"{self.where}: " if self.where else ""

    def child(self, name: str) -> Url:
        """Return the address of a folder in the one at this address."""
        return Url(f"{self._text.rstrip('/')}/{name}", where=self.where)

    def showing(self, shown: str) -> Url:
        """Return the same address that prints as `shown`."""
        return Url(self._text, where=self.where, shown=shown)

    def __str__(self) -> str:
        """Return the address without its secrets."""
        return self._shown

    def __repr__(self) -> str:
        """Return the address without its secrets."""
        return f"Url({self._shown!r})"

    def __format__(self, specification: str) -> str:
        """Format the address without its secrets."""
        return format(self._shown, specification)

    def __eq__(self, other: object) -> bool:
        """Compare whole addresses."""
        return isinstance(other, Url) and self._text == other._text

    def __hash__(self) -> int:
        """Hash the whole address."""
        return hash(self._text)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the address in base64."""
        return _unpickled, (
            base64.b64encode(self._text.encode("utf-8", "surrogateescape")),
            self.where,
            self._shown,
        )


def _unpickled(encoded: bytes, where: str, shown: str) -> Url:
    return Url(base64.b64decode(encoded).decode("utf-8", "surrogateescape"), where=where, shown=shown)
