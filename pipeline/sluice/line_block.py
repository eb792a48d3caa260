"""Lines in one piece of memory: an object for each line costs more than most of what is done with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import TypeAlias, TypeVar, overload

import numpy as np
import numpy.typing as npt

from sluice.native_core import native_core

_LINE_FEED = ord("\n")
Starts: TypeAlias = npt.NDArray[np.uint64]
_Found = TypeVar("_Found", list[bytes], Starts)


class LineBlock(Sequence[bytes]):
    """Lines as a file of them has them; they are cut into objects once someone asks for all of them.

    It equals any sequence of the same lines.
    """

    __slots__ = ("_count", "_cut", "_starts", "data")
    __hash__ = None  # type: ignore[assignment]  # as a list

    def __init__(self, data: bytes, count: int | None = None) -> None:
        """Take lines that each have a line feed behind them; `count` is how many they are, if that is known."""
        self.data = data
        self._count = count
        self._cut: list[bytes] | None = None
        self._starts: Starts | None = None

    @classmethod
    def of(cls, lines: Sequence[bytes]) -> LineBlock:
        """Return `lines`, which have no line feed, as a block, which keeps them; a block itself."""
        if isinstance(lines, LineBlock):
            return lines
        block = cls(b"\n".join([*lines, b""]), len(lines))
        block._cut = list(lines)
        return block

    @classmethod
    def joined(cls, parts: Iterable[Sequence[bytes]]) -> LineBlock:
        """Return the lines of all parts, in order, as one block."""
        given = list(parts)
        if not any(isinstance(part, LineBlock) for part in given):
            return cls.of(list(chain.from_iterable(given)))
        blocks = list(map(cls.of, given))
        if len(blocks) == 1:
            return blocks[0]
        return cls(b"".join([block.data for block in blocks]), sum(map(len, blocks)))

    def __reduce__(self) -> tuple[type[LineBlock], tuple[bytes, int]]:
        """Leave the objects behind."""
        return type(self), (self.data, len(self))

    def __len__(self) -> int:
        """Return the number of lines."""
        if self._count is None:
            self._count = len(self.starts)
        return self._count

    def __iter__(self) -> Iterator[bytes]:
        """Yield the lines."""
        return iter(self._lines())

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...

    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        """Return line `index`, or a list of some."""
        if self._cut is not None or isinstance(index, slice):
            return self._lines()[index]
        start = int(self.starts[index])
        return self.data[start : self.data.index(b"\n", start)]

    def __eq__(self, other: object) -> bool:
        """Tell whether the other sequence has the same lines."""
        if isinstance(other, LineBlock):
            return self.data == other.data
        return self._lines() == list(other) if isinstance(other, Sequence) else NotImplemented

    def __repr__(self) -> str:
        """Return the call that makes this block."""
        return f"{type(self).__name__}({self.data!r})"

    @property
    def size(self) -> int:
        """Bytes of all lines, without line feeds."""
        return len(self.data) - len(self)

    @property
    def starts(self) -> Starts:
        """Where each line begins, in bytes from the first."""
        if self._starts is None:
            self._starts = self._counted(_line_starts(self.data))
        return self._starts

    def _lines(self) -> list[bytes]:
        if self._cut is None:
            self._cut = self._counted(self.data[:-1].split(b"\n") if self.data else [])
        return self._cut

    def _counted(self, found: _Found) -> _Found:
        if self._count is not None and len(found) != self._count:
            message = f"expected {self._count} lines without line feeds, got {len(found)}"
            raise ValueError(message)
        return found


def _line_starts(data: bytes) -> Starts:
    core = native_core()
    if core is not None:
        return np.frombuffer(core.line_starts(data), np.uint64)
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == _LINE_FEED)
    return np.append(0, ends[:-1] + 1).astype(np.uint64) if len(ends) else np.zeros(0, np.uint64)


def size_of(lines: Sequence[bytes]) -> int:
    """Return how many bytes lines have, without line feeds."""
    return lines.size if isinstance(lines, LineBlock) else sum(map(len, lines))
