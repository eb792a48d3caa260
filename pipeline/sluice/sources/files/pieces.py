"""Parts of files, which are read by themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple

from sluice.elements import RecordBatch
from sluice.errors import SourceError
from sluice.formats import Records
from sluice.provenance import FileProvenance
from sluice.sources.files.found_file import FoundFile
from sluice.sources.files.listing import reporting

BLOCK_BYTES = 512 << 10
"""Bytes of one read, which become a batch: large enough for Beam, and twice as fast as 2 MiB (CPU cache)."""

_TAIL_BYTES = 64 << 10
"""Bytes of one read behind a split's end, to find the end of its last line."""

_OPENING_BYTES = 64 << 10
"""Opening a file costs as much as reading this much of it: 10,000 small files are work, too."""

COMPRESSED_SUFFIXES = (".gz", ".bz2", ".zst")
PACKED_SUFFIXES = (*COMPRESSED_SUFFIXES, ".avro", ".parquet")
"""Names of files that have fewer bytes than their records."""

_PACKED_WEIGHT = 8


class Piece(NamedTuple):
    """The bytes of a file from `start` to `stop`; less than the whole file only if its format can be split.

    `line` is the number of the first line, for CSV. `typed` is `Avro` or `Parquet`, for a part of such a file.
    """

    file: FoundFile
    start: int
    stop: int
    line: int = 1
    typed: str = ""

    @property
    def weight(self) -> int:
        """Cost of reading it, in bytes of plain lines."""
        packed = _PACKED_WEIGHT if self.file.uri.endswith(PACKED_SUFFIXES) else 1
        return (self.stop - self.start) * packed + _OPENING_BYTES


def read_chunks(reader: BinaryIO, piece: Piece) -> Iterator[bytes]:
    """Yield the bytes that a format needs: from the byte before `start` (see `read_lines`), past `stop` to the end."""
    uri, at = piece.file.uri, max(piece.start - 1, 0)
    with reporting(uri, f"read at byte {at}"):
        reader.seek(at)
    while True:
        with reporting(uri, f"read at byte {at}"):
            chunk = reader.read(min(BLOCK_BYTES, piece.stop - at) if at < piece.stop else _TAIL_BYTES)
        if not chunk:
            break
        at += len(chunk)
        yield chunk
    if at < piece.stop:
        message = f"{uri}: cannot read at byte {at}: expected {piece.file.size} bytes, the file has shrunk"
        raise SourceError(message)


def batches_of(
    piece: Piece, blocks: Iterable[Records], kind: type[FileProvenance] = FileProvenance
) -> Iterator[RecordBatch]:
    """Yield blocks of records of a file as batches; `kind` says what their offsets are."""
    file = piece.file
    for records, offsets in blocks:
        yield RecordBatch(
            records, kind(file.uri, file.modified, offsets, size=file.stored_size, etag=file.etag)
        )
