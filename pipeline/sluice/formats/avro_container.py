"""Avro object container files: the header, and blocks of rows that are unpacked one at a time.

The container is read here, and not by fastavro, for what that does not do: it keeps the place of each block, so that
files can be split and errors name a byte; it bounds what a block may unpack to; and it tells a file that is cut off
from one that ends. fastavro reads the rows (`sluice.formats.avro_rows`). The format is that of the Apache Avro
specification 1.12, "Object container files".
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa
import zstandard

from sluice.errors import SourceError
from sluice.formats.csv_rows import FILE_START, RowStart

MAGIC = b"Obj\x01"
SYNC_BYTES = 16
MAX_BLOCK_BYTES = 64 << 20
"""A longer block is refused, packed or unpacked, since it has to fit into memory. Usual ones have KiB, or a few MiB."""

_MOST_METADATA_BYTES = 16 << 20
_MOST_VARINT_BYTES = 10
_CHECKSUM_BYTES = 4
_MORE, _VALUE_BITS, _BITS = 0x80, 0x7F, 7


class Header(NamedTuple):
    """What a file says of its blocks; the first of them begins at byte `end`."""

    metadata: dict[str, bytes]
    sync: bytes
    end: int

    @property
    def codec(self) -> str:
        """How blocks are packed."""
        return self.metadata.get("avro.codec", b"null").decode("utf-8", "replace") or "null"


class Block(NamedTuple):
    """The packed rows of a block, how many they are, and the byte at which the block begins."""

    at: int
    rows: int
    data: bytes


class _CutOffError(Exception):
    pass


class ByteReader:
    """Reads exact numbers of bytes from chunks."""

    def __init__(self, chunks: Iterable[bytes], at: int = 0) -> None:
        """`at` is the place of the first byte in the file."""
        self._chunks = iter(chunks)
        self._buffer, self._used = b"", 0
        self.at = at

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes.

        Raises:
            _CutOffError: there are fewer.

        """
        have = len(self._buffer) - self._used
        if have < size:
            parts = [self._buffer[self._used :]]
            for chunk in self._chunks:
                parts.append(chunk)
                have += len(chunk)
                if have >= size:
                    break
            self._buffer, self._used = b"".join(parts), 0
        if have < size:
            raise _CutOffError
        data = self._buffer[self._used : self._used + size]
        self._used += size
        self.at += size
        return data

    def is_at_end(self) -> bool:
        """Tell whether there are no more bytes."""
        while self._used >= len(self._buffer):
            chunk = next(self._chunks, None)
            if chunk is None:
                return True
            self._buffer, self._used = chunk, 0
        return False

    def number(self) -> int:
        """Return the next long: zigzag, of seven bits in each byte.

        Raises:
            ValueError: it has more bytes than a long.

        """
        value = shift = 0
        for _ in range(_MOST_VARINT_BYTES):
            byte = self.take(1)[0]
            value |= (byte & _VALUE_BITS) << shift
            if not byte & _MORE:
                return (value >> 1) ^ -(value & 1)
            shift += _BITS
        message = "a number of more than ten bytes"
        raise ValueError(message)


def read_header(reader: ByteReader, name: str) -> Header:
    """Read the header from the beginning of a file.

    Raises:
        SourceError: it is cut off, damaged, or names a codec that is not known; names `name`.

    """
    try:
        if reader.take(len(MAGIC)) != MAGIC:
            raise avro_error(name, 0, "it does not begin like Avro")
        metadata = dict(_metadata(reader))
        header = Header(metadata, reader.take(SYNC_BYTES), reader.at)
    except _CutOffError as error:
        raise avro_error(name, reader.at, "the file is cut off in its header") from error
    except ValueError as error:
        raise avro_error(name, reader.at, f"its header is damaged: {error}") from error
    if header.codec not in _CODECS:
        *most, last = sorted(_CODECS)
        known = f"{', '.join(most)} or {last}"
        reason = f"expected the codec {known}, got {header.codec!r}; write the file with one of these"
        raise avro_error(name, 0, reason)
    return header


def _metadata(reader: ByteReader) -> Iterator[tuple[str, bytes]]:
    while count := reader.number():
        if count < 0:
            reader.number()  # the size of the entries, which lets others skip them
        for _ in range(abs(count)):
            yield _bytes(reader).decode(), _bytes(reader)


def _bytes(reader: ByteReader) -> bytes:
    size = reader.number()
    if not 0 <= size <= _MOST_METADATA_BYTES:
        message = f"a text of {size} bytes"
        raise ValueError(message)
    return reader.take(size)


def read_blocks(reader: ByteReader, header: Header, stop: int | None, name: str) -> Iterator[Block]:
    """Yield the blocks that begin at the reader's place or behind it, and before `stop`.

    Raises:
        SourceError: a block is cut off or damaged; names the byte at which it begins.

    """
    while (stop is None or reader.at < stop) and not reader.is_at_end():
        at = reader.at
        try:
            rows, size = _counts(reader.number(), reader.number())
            data = reader.take(size)
            sync = reader.take(SYNC_BYTES)
        except _CutOffError as error:
            raise avro_error(name, at, "the file is cut off in this block") from error
        except ValueError as error:
            raise avro_error(name, at, f"the block is damaged: {error}") from error
        if sync != header.sync:
            raise avro_error(name, at, "the block is damaged: the marker behind it is not that of the file")
        yield Block(at, rows, data)


def _counts(rows: int, size: int) -> tuple[int, int]:
    if rows < 0 or not 0 <= size <= MAX_BLOCK_BYTES:
        message = f"expected at most {MAX_BLOCK_BYTES} bytes, got {rows} rows in {size} bytes"
        raise ValueError(message)
    return rows, size


def find_block_starts(file: BinaryIO, header: Header, size: int, target: int) -> list[RowStart]:
    """Return where a file of `size` bytes can be split, about every `target` bytes; only the counts are read.

    The line of a start is the number of its row, from 1.

    What is damaged ends the list: reading the last part finds it, too.
    """
    starts = [FILE_START]
    at, row = header.end, 1
    while at < size:
        if at - starts[-1].offset >= target:
            starts.append(RowStart(at, row))
        file.seek(at)
        reader = ByteReader([file.read(2 * _MOST_VARINT_BYTES)], at)
        try:
            rows, length = _counts(reader.number(), reader.number())
        except (_CutOffError, ValueError):
            break
        at, row = reader.at + length + SYNC_BYTES, row + rows
    return starts


def unpack(block: Block, codec: str, name: str) -> bytes:
    """Return the rows of a block in Avro's binary encoding.

    Raises:
        SourceError: they are damaged, or more than 64 MiB; names the byte at which the block begins.

    """
    try:
        data = _CODECS[codec](block.data)
    except _DAMAGED as error:
        raise avro_error(name, block.at, f"cannot unpack {codec}: {str(error) or 'damaged data'}") from error
    if len(data) > MAX_BLOCK_BYTES:
        reason = (
            f"expected a block of at most {MAX_BLOCK_BYTES} bytes unpacked, got more; write smaller blocks"
        )
        raise avro_error(name, block.at, reason)
    return data


def avro_error(name: str, at: int, reason: str) -> SourceError:
    """Return the error of a file that cannot be read at byte `at`."""
    return SourceError(f"{name}: cannot read Avro at byte {at}: {reason}")


_ENOUGH = MAX_BLOCK_BYTES + 1
"""Unpacked bytes that show that a block is too large."""


def _whole(member: Any, data: bytes) -> bytes:
    output: bytes = member.decompress(data, _ENOUGH)
    if not member.eof and len(output) < _ENOUGH:
        message = "it is cut off"
        raise ValueError(message)
    return output


def _inflate(data: bytes) -> bytes:
    return _whole(zlib.decompressobj(wbits=-zlib.MAX_WBITS), data)


def _unpack_snappy(data: bytes) -> bytes:
    packed, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    size = shift = 0
    for byte in packed[:5]:
        size |= (byte & _VALUE_BITS) << shift
        shift += _BITS
        if not byte & _MORE:
            break
    if size > MAX_BLOCK_BYTES:
        return bytes(_ENOUGH)
    output: bytes = pa.Codec("snappy").decompress(packed, decompressed_size=size, asbytes=True)
    if zlib.crc32(output).to_bytes(_CHECKSUM_BYTES, "big") != checksum:
        message = "its checksum differs"
        raise ValueError(message)
    return output


def _unpack_zstandard(data: bytes) -> bytes:
    with zstandard.ZstdDecompressor().stream_reader(data) as stream:
        return stream.read(_ENOUGH)


_CODECS: dict[str, Callable[[bytes], bytes]] = {
    "null": bytes,
    "deflate": _inflate,
    "snappy": _unpack_snappy,
    "zstandard": _unpack_zstandard,
    "bzip2": lambda data: _whole(bz2.BZ2Decompressor(), data),
    "xz": lambda data: _whole(lzma.LZMADecompressor(), data),
}
_DAMAGED = (zlib.error, zstandard.ZstdError, lzma.LZMAError, OSError, EOFError, ValueError, pa.ArrowException)
