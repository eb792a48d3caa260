"""Compressed files, detected by their magic bytes: gzip, zstd and bzip2, also several members one after the other."""

from __future__ import annotations

import bz2
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import zstandard

from sluice.errors import SourceError

MAGIC_BYTES = 10

_COMPRESSED_BYTES = 128 << 10
"""How much is decompressed at once: events compress to about an eighth; a bomb of 1000:1 makes 128 MB, not more."""

_OUTPUT_BYTES = 512 << 10
"""Smaller output is collected first: many small gzip members would otherwise make as many small batches."""

_LONGEST_WINDOW = 1 << 31  # what `zstd --long=31` writes
_CORRUPT = (zlib.error, zstandard.ZstdError, OSError, EOFError)


@dataclass(frozen=True, slots=True)
class Codec:
    """How a compressed file begins, and what makes the decompressor of one member."""

    name: str
    magic: tuple[bytes, ...]
    member: Callable[[], Any]


CODECS = (
    Codec("gzip", (b"\x1f\x8b\x08",), lambda: zlib.decompressobj(wbits=31)),
    Codec(
        "zstd",
        (b"\x28\xb5\x2f\xfd", *(bytes((0x50 + number, 0x2A, 0x4D, 0x18)) for number in range(16))),
        lambda: zstandard.ZstdDecompressor(max_window_size=_LONGEST_WINDOW).decompressobj(),
    ),
    Codec(
        "bzip2",
        tuple(b"BZh%d%b" % pair for pair in product(range(1, 10), (b"1AY&SY", b"\x17rE8P\x90"))),
        bz2.BZ2Decompressor,
    ),
)
"""The second magic numbers of zstd begin a skippable frame, those of bzip2 an empty file."""


def detect_codec(head: bytes) -> Codec | None:
    """Return the codec of a file that begins with `head` (MAGIC_BYTES suffice); None if it is not compressed."""
    return next((codec for codec in CODECS if head.startswith(codec.magic)), None)


def decompress(chunks: Iterable[bytes], codec: Codec, uri: str) -> Iterator[bytes]:
    """Yield the decompressed content of `chunks`, in pieces of some 100 KiB to some MiB.

    Raises:
        SourceError: the data is corrupt or cut off; names `uri`, the byte of the compressed file and the reason.

    """
    member: Any = codec.member()
    output: list[bytes] = []
    at = size = 0
    for compressed in _sliced(chunks):
        data = compressed
        while data := data if member is not None else data.lstrip(b"\0"):  # gzip files may be padded
            member = member or codec.member()
            try:
                output.append(member.decompress(data))
            except _CORRUPT as error:
                message = f"{uri}: cannot decompress {codec.name} at byte {at + len(compressed) - len(data)}: {error}"
                raise SourceError(message) from error
            size += len(output[-1])
            data = member.unused_data if member.eof else b""
            member = None if member.eof else member
        at += len(compressed)
        if size >= _OUTPUT_BYTES:
            yield b"".join(output)
            output, size = [], 0
    if size:
        yield b"".join(output)
    if member is not None:
        message = f"{uri}: cannot decompress {codec.name} at byte {at}: the file is cut off"
        raise SourceError(message)


def _sliced(chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        for at in range(0, len(chunk), _COMPRESSED_BYTES):
            yield chunk[at : at + _COMPRESSED_BYTES]
