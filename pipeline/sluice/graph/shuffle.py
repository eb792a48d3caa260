"""What crosses a shuffle: batches packed into bytes, or on one machine references to them in a file.

Runners on one machine keep everything between two stages in memory. There batches are spilled to a file and only a
reference of some 60 bytes is shuffled, so that memory does not grow with the input.
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import msgspec
import zstandard
from apache_beam.transforms.window import GlobalWindow, TimestampedValue
from apache_beam.utils.windowed_value import WindowedValue

from sluice.elements import EventBatch, LogKey, OrderedLines
from sluice.errors import StorageError
from sluice.line_block import LineBlock

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
    body = memoryview(LineBlock.joined(group.lines for group in batch.ordered_lines).data)[:-1]
    return msgspec.msgpack.encode((heads, zstandard.ZstdCompressor(level=_LEVEL).compress(body)))


def unpack(packed: bytes) -> EventBatch:
    """Return the batch that `pack` was given; nobody knows whether it is `plain`."""
    heads, body = msgspec.msgpack.decode(
        packed, type=tuple[list[tuple[str, int, int, dict[int, int], float, int | None]], bytes]
    )
    lines = zstandard.ZstdDecompressor().decompress(body).split(b"\n")
    ends = accumulate(count for _, _, count, *_ in heads)
    return EventBatch(
        [
            OrderedLines(uri, offset, lines[end - count : end], acks, export_time, partition)
            for (uri, offset, count, acks, export_time, partition), end in zip(heads, ends, strict=True)
        ]
    )


class SpillReference(NamedTuple):
    """Where a spilled batch is: the name of a file in the spill's folder, the first byte, and how many there are.

    The first `heads` bytes say what follows them, in `size` bytes: lines, `packed` or as they are. `plain` is that of
    the batch. On a cluster nobody knows: what an older version of a job has accepted waits there for the workers of a
    newer one.
    """

    file: str
    start: int
    heads: int
    size: int
    packed: bool
    plain: bool


class _SpilledLines(msgspec.Struct, array_like=True, gc=False):
    """OrderedLines in a spill, with the number of its lines, and their bytes with line feeds, in place of them."""

    uri: str
    offset: int
    lines: int
    size: int
    acks: Mapping[int, int]
    export_time: float
    partition: int | None


@dataclass(frozen=True, slots=True)
class Spill:
    """Batches in files below `folder`, one file for each worker thread, as long as the run lasts.

    The first ones of a file are as they are, since packing and unpacking takes a tenth of a run's CPU time. Then they
    are packed, so that a long history does not need a disk of its size.
    """

    folder: str
    as_they_are: int = 1 << 30
    """Bytes of a file from which on batches are packed."""

    def put(self, batch: EventBatch) -> bytes:
        """Store `batch`; return its packed SpillReference, which `get` takes in any process.

        Raises:
            StorageError: it cannot be written; the disk may be full.

        """
        blocks = [LineBlock.of(group.lines) for group in batch.ordered_lines]
        parts = [_heads(batch, blocks), *(block.data for block in blocks)]
        path = Path(self.folder) / f"{os.getpid()}-{threading.get_ident()}.spill"
        try:
            with path.open("ab") as file:
                start = file.tell()
                packed = start >= self.as_they_are
                if packed:
                    parts[1:] = [zstandard.ZstdCompressor(level=_LEVEL).compress(b"".join(parts[1:]))]
                file.writelines(parts)
        except OSError as error:
            size = sum(map(len, parts))
            message = (
                f"{self.folder}: cannot spill {size} bytes: {error.strerror}; TMPDIR chooses another disk"
            )
            raise StorageError(message) from error
        heads, *lines = map(len, parts)
        reference = SpillReference(path.name, start, heads, sum(lines), packed, batch.plain)
        return msgspec.msgpack.encode(reference)

    def get(self, reference: bytes) -> EventBatch:
        """Return the batch for which `put` returned `reference`; its lines are a LineBlock for each record batch."""
        name, start, heads, size, packed, plain = msgspec.msgpack.decode(reference, type=SpillReference)
        with (Path(self.folder) / name).open("rb") as file:
            file.seek(start)
            groups = msgspec.msgpack.decode(file.read(heads), type=list[_SpilledLines])
            lines = BytesIO(zstandard.ZstdDecompressor().decompress(file.read(size))) if packed else file
            return EventBatch(
                [
                    OrderedLines(
                        group.uri,
                        group.offset,
                        LineBlock(lines.read(group.size), group.lines),
                        group.acks,
                        group.export_time,
                        group.partition,
                        plain,
                    )
                    for group in groups
                ]
            )


def _heads(batch: EventBatch, blocks: Sequence[LineBlock]) -> bytes:
    """Return what stands before the lines of a spilled batch; `blocks` are these lines."""
    return msgspec.msgpack.encode(
        [
            _SpilledLines(
                group.uri,
                group.offset,
                len(block),
                len(block.data),
                group.acks,
                group.export_time,
                group.partition,
            )
            for group, block in zip(batch.ordered_lines, blocks, strict=True)
        ]
    )
