"""Avro and Parquet files: their parts, and their rows as records."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, pairwise
from typing import BinaryIO, cast

from sluice.elements import RecordBatch
from sluice.formats.avro_container import ByteReader, find_block_starts, read_header
from sluice.formats.avro_rows import read_avro, read_avro_blocks
from sluice.formats.content import Content
from sluice.formats.csv_rows import FILE_START, RowStart
from sluice.formats.json_lines import Records
from sluice.formats.parquet_rows import find_row_groups, read_parquet
from sluice.provenance import RowProvenance
from sluice.sources.files.patterns import scheme_of
from sluice.sources.files.pieces import Piece, batches_of, read_chunks


def typed_parts(reader: BinaryIO, whole: Piece, typed: str, target: int) -> list[Piece]:
    """Return the parts of a file, of about `target` bytes each; each begins with a block or row group.

    The blocks of Avro are found one after the other, which is quick on a local disk; an object in a bucket is one part.
    """
    file = whole.file
    with _seekable(reader) as seekable:
        starts = _starts(seekable, whole, typed, target)
    bounds = pairwise([*starts, RowStart(file.size, 0)])
    return [Piece(file, start.offset, stop.offset, start.line, typed) for start, stop in bounds]


def _starts(seekable: BinaryIO, whole: Piece, typed: str, target: int) -> list[RowStart]:
    file = whole.file
    if typed == "Parquet":
        return find_row_groups(seekable, file.uri, target)
    if scheme_of(file.uri) != "file":
        return [FILE_START]
    header = read_header(ByteReader(read_chunks(seekable, whole)), file.uri)
    return find_block_starts(seekable, header, file.size, target)


def read_typed(reader: BinaryIO, piece: Piece, content: Content) -> Iterator[RecordBatch]:
    """Yield the rows of a whole file, whose `content` may have been unpacked."""
    uri = piece.file.uri
    if content.typed == "Avro":
        yield from _batches(piece, read_avro(content.chunks, uri))
    elif content.is_plain:
        yield from read_typed_part(reader, piece._replace(typed=content.typed))
    else:
        with _spooled(content.chunks) as unpacked:
            yield from _batches(piece, read_parquet(unpacked, uri))


def read_typed_part(reader: BinaryIO, piece: Piece) -> Iterator[RecordBatch]:
    """Yield the rows of a part of a file."""
    uri = piece.file.uri
    if piece.typed == "Parquet":
        with _seekable(reader) as seekable:
            yield from _batches(piece, read_parquet(seekable, uri, piece.start, piece.stop))
        return
    blocks = ByteReader(read_chunks(reader, piece._replace(start=0)))
    header = read_header(blocks, uri)
    if piece.start:
        blocks = _from_start(reader, piece)
    yield from _batches(piece, read_avro_blocks(blocks, header, uri, piece.stop, piece.line - 1))


def _from_start(reader: BinaryIO, piece: Piece) -> ByteReader:
    chunks = read_chunks(reader, piece)
    first = next(chunks, b"")
    return ByteReader(chain([first[1:]], chunks), piece.start)  # the first byte is the one before the start


def _batches(piece: Piece, blocks: Iterable[Records]) -> Iterator[RecordBatch]:
    return batches_of(piece, blocks, RowProvenance)


@contextmanager
def _seekable(reader: BinaryIO) -> Iterator[BinaryIO]:
    """Open a file for reads that return as many bytes as they ask for; the reader stays open."""
    if not isinstance(reader, io.RawIOBase):
        yield reader
        return
    buffered = io.BufferedReader(reader)
    try:
        yield cast("BinaryIO", buffered)
    finally:
        if not reader.closed:  # it is, where nobody reads to the end
            buffered.detach()


@contextmanager
def _spooled(chunks: Iterable[bytes]) -> Iterator[BinaryIO]:
    """Write chunks to a file below `TMPDIR`, in which one can seek; it has no name, and goes when it is closed."""
    with tempfile.TemporaryFile() as file:
        file.writelines(chunks)
        file.seek(0)
        yield cast("BinaryIO", file)
