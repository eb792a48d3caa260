"""Compressed files, told by their first bytes: gzip, zstd and bzip2, also several of them in a row."""

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

_PACKED_BYTES = 128 << 10
"""What is unpacked at once: events shrink to about an eighth, and a bomb of 1000:1 makes 128 MB, not more."""

_UNPACKED_BYTES = 512 << 10
"""Less than this is held back: many small gzip members would otherwise give as many small batches."""

_LONGEST_WINDOW = 1 << 31  # what `zstd --long=31` writes
_CORRUPT = (zlib.error, zstandard.ZstdError, OSError, EOFError)


@dataclass(frozen=True, slots=True)
class Codec:
    """How a compressed file begins, and what unpacks one member of it."""

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
    """Return how a file that begins with `head` (MAGIC_BYTES suffice) is packed; None if it is not."""
    return next((codec for codec in CODECS if head.startswith(codec.magic)), None)


def unpack(chunks: Iterable[bytes], codec: Codec, uri: str) -> Iterator[bytes]:
    """Yield what is packed in `chunks`, in pieces of some 100 KiB to some MiB.

    Raises:
        SourceError: the data is corrupt or cut off; names `uri`, the byte of the packed file and the reason.

    """
    member: Any = codec.member()
    held: list[bytes] = []
    at = size = 0
    for packed in _sliced(chunks):
        data = packed
        while data := data if member is not None else data.lstrip(b"\0"):  # gzip files may be padded
            member = member or codec.member()
            try:
                held.append(member.decompress(data))
            except _CORRUPT as error:
                message = f"{uri}: cannot unpack {codec.name} at byte {at + len(packed) - len(data)}: {error}"
                raise SourceError(message) from error
            size += len(held[-1])
            data = member.unused_data if member.eof else b""
            member = None if member.eof else member
        at += len(packed)
        if size >= _UNPACKED_BYTES:
            yield b"".join(held)
            held, size = [], 0
    if size:
        yield b"".join(held)
    if member is not None:
        message = f"{uri}: cannot unpack {codec.name} at byte {at}: the file is cut off"
        raise SourceError(message)


def _sliced(chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        for at in range(0, len(chunk), _PACKED_BYTES):
            yield chunk[at : at + _PACKED_BYTES]
