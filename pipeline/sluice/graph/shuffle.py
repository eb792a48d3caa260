"""What crosses a shuffle: batches packed into bytes, or on one machine a reference to those bytes.

Runners on one machine keep everything between two stages in memory. There the packed bytes are spilled to a file and
only a reference of some 60 bytes is shuffled, so that memory does not grow with the input.
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import msgspec
import zstandard
from apache_beam.transforms.window import GlobalWindow, TimestampedValue
from apache_beam.utils.windowed_value import WindowedValue

from sluice.elements import EventBatch, LogKey, OrderedLines
from sluice.errors import StorageError

_BUFFER_BYTES = 16 << 20
"""Bytes of lines in a buffer, at most; more would make batches no cheaper, and take memory."""

_LEVEL = 1
"""zstd level: 1 packs event JSON three- to eightfold at about 400 MB/s; higher levels cost more than they save."""


class BundleBuffer:
    """Lines of one bundle by log key and window, buffered so that few, large batches are shuffled."""

    def __init__(self) -> None:
        """Begin with an empty buffer."""
        self._groups: dict[tuple[LogKey, int], list[OrderedLines]] = defaultdict(list)
        self._bytes = 0

    def add(self, key: LogKey, window: int, lines: OrderedLines) -> None:
        """Buffer `lines`; they are grouped in the window of the minute `window`, in epoch seconds."""
        self._groups[key, window].append(lines)
        self._bytes += lines.size

    def flush_if_full(self) -> Iterator[TimestampedValue]:
        """Emit everything if the buffer is full."""
        if self._bytes > _BUFFER_BYTES:
            yield from self._emit()

    def flush(self) -> Iterator[WindowedValue]:
        """Emit everything, at the end of a bundle."""
        for batch in self._emit():
            yield WindowedValue(batch.value, batch.timestamp, (GlobalWindow(),))

    def _emit(self) -> Iterator[TimestampedValue]:
        for (key, window), groups in self._groups.items():
            yield TimestampedValue((key, EventBatch(groups)), window)
        self._groups.clear()
        self._bytes = 0


def pack(batch: EventBatch) -> bytes:
    """Return `batch` as msgpack [[[uri, offset, lines, acks, export time, partition], …], zstd of the lines]."""
    heads = [
        (group.uri, group.offset, len(group.lines), group.acks, group.export_time, group.partition)
        for group in batch.ordered_lines
    ]
    body = b"\n".join([line for group in batch.ordered_lines for line in group.lines])
    return msgspec.msgpack.encode((heads, zstandard.ZstdCompressor(level=_LEVEL).compress(body)))


def unpack(packed: bytes, *, plain: bool = False) -> EventBatch:
    """Return the batch that `pack` was given; whether it is `plain`, only the caller can know."""
    heads, body = msgspec.msgpack.decode(
        packed, type=tuple[list[tuple[str, int, int, dict[int, int], float, int | None]], bytes]
    )
    lines = zstandard.ZstdDecompressor().decompress(body).split(b"\n")
    ends = accumulate(count for _, _, count, *_ in heads)
    return EventBatch(
        [
            OrderedLines(uri, offset, lines[end - count : end], acks, export_time, partition, plain)
            for (uri, offset, count, acks, export_time, partition), end in zip(heads, ends, strict=True)
        ]
    )


class SpillReference(NamedTuple):
    """Where a spilled batch is: the name of a file in the spill's folder, the first byte, and how many there are.

    `plain` is that of the batch. On a cluster nobody knows: what an older version of a job has accepted waits there for
    the workers of a newer one.
    """

    file: str
    start: int
    size: int
    plain: bool


@dataclass(frozen=True, slots=True)
class Spill:
    """Packed batches in files below `folder`, one file for each worker thread, as long as the run lasts."""

    folder: str

    def put(self, batch: EventBatch) -> bytes:
        """Store `batch`; return its packed SpillReference, which `get` takes in any process.

        Raises:
            StorageError: it cannot be written; the disk may be full.

        """
        data = pack(batch)
        path = Path(self.folder) / f"{os.getpid()}-{threading.get_ident()}.spill"
        try:
            with path.open("ab") as file:
                start = file.tell()
                file.write(data)
        except OSError as error:
            message = f"{self.folder}: cannot spill {len(data)} bytes: {error.strerror}; TMPDIR chooses another disk"
            raise StorageError(message) from error
        return msgspec.msgpack.encode(SpillReference(path.name, start, len(data), batch.plain))

    def get(self, reference: bytes) -> EventBatch:
        """Return the batch for which `put` returned `reference`."""
        name, start, size, plain = msgspec.msgpack.decode(reference, type=SpillReference)
        with (Path(self.folder) / name).open("rb") as file:
            file.seek(start)
            return unpack(file.read(size), plain=plain)
