"""What crosses a shuffle: batches packed into bytes, and on one machine a claim on those bytes instead.

Runners on one machine keep everything between two stages in memory. There the packed bytes are spilled to a
file and only a claim of some 60 bytes is shuffled, so that memory does not grow with the history.
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import msgspec
import zstandard
from apache_beam.transforms.window import GlobalWindow, TimestampedValue
from apache_beam.utils.windowed_value import WindowedValue

from sluice.elements import EventBatch, LogKey, OrderedLines
from sluice.errors import StorageError

_HELD_BYTES = 16 << 20
"""Lines that a worker holds back at the most; more makes batches no cheaper, and memory matters."""

_LEVEL = 1
"""zstd level: 1 packs event JSON three- to eightfold at about 400 MB/s; higher levels cost more than they save."""


class BundleBuffer:
    """Lines held back within a bundle, by log key and window, so that few, large batches are shuffled."""

    def __init__(self) -> None:
        """Begin with nothing held back."""
        self._parts: dict[tuple[LogKey, int], list[OrderedLines]] = defaultdict(list)
        self._bytes = 0

    def add(self, key: LogKey, window: int, part: OrderedLines) -> None:
        """Hold `part` back; `window` is the minute, in epoch seconds, in whose window it is to be grouped."""
        self._parts[key, window].append(part)
        self._bytes += part.size

    def flush_if_full(self) -> Iterator[TimestampedValue]:
        """Emit everything if the buffer is full."""
        if self._bytes > _HELD_BYTES:
            yield from self._emit()

    def flush(self) -> Iterator[WindowedValue]:
        """Emit everything, at the end of a bundle."""
        for each in self._emit():
            yield WindowedValue(each.value, each.timestamp, (GlobalWindow(),))

    def _emit(self) -> Iterator[TimestampedValue]:
        for (key, window), parts in self._parts.items():
            yield TimestampedValue((key, EventBatch(parts)), window)
        self._parts.clear()
        self._bytes = 0


def pack(batch: EventBatch) -> bytes:
    """Return `batch` as msgpack [[[uri, offset, line count, receipts], …], zstd of its lines, one a line]."""
    heads = [(part.uri, part.offset, len(part.lines), part.acks) for part in batch.parts]
    body = b"\n".join([line for part in batch.parts for line in part.lines])
    return msgspec.msgpack.encode((heads, zstandard.ZstdCompressor(level=_LEVEL).compress(body)))


def unpack(packed: bytes) -> EventBatch:
    """Return the batch that `pack` was given."""
    heads, body = msgspec.msgpack.decode(
        packed, type=tuple[list[tuple[str, int, int, dict[int, int]]], bytes]
    )
    lines = zstandard.ZstdDecompressor().decompress(body).split(b"\n")
    ends = accumulate(count for _, _, count, _ in heads)
    return EventBatch(
        [
            OrderedLines(uri, offset, lines[end - count : end], acks)
            for (uri, offset, count, acks), end in zip(heads, ends, strict=True)
        ]
    )


@dataclass(frozen=True, slots=True)
class Spill:
    """Bytes kept in files below `folder`, one file a worker thread, for as long as the run lasts."""

    folder: str

    def put(self, data: bytes) -> bytes:
        """Keep `data`; return the claim that `get` takes, in any process.

        Raises:
            StorageError: the disk is full, for instance.

        """
        path = Path(self.folder) / f"{os.getpid()}-{threading.get_ident()}.spill"
        try:
            with path.open("ab") as file:
                start = file.tell()
                file.write(data)
        except OSError as error:
            message = f"{self.folder}: cannot spill {len(data)} bytes: {error.strerror}; TMPDIR chooses another disk"
            raise StorageError(message) from error
        return msgspec.msgpack.encode((path.name, start, len(data)))

    def get(self, claim: bytes) -> bytes:
        """Return the bytes that `put` answered `claim` for."""
        name, start, size = msgspec.msgpack.decode(claim, type=tuple[str, int, int])
        with (Path(self.folder) / name).open("rb") as file:
            file.seek(start)
            return file.read(size)
