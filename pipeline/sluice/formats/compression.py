"""Compressed files, detected by their magic bytes: gzip, zstd and bzip2, also several members one after the other."""

from __future__ import annotations

import bz2
import logging
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import zstandard

from sluice.errors import SourceError

MAGIC_BYTES = 10

_COMPRESSED_BYTES = 128 << 10
"""How much is decompressed at once."""

_OUTPUT_BYTES = 512 << 10
"""Smaller output is collected first: many small gzip members would otherwise make as many small batches."""

_MOST_BYTES = 1 << 20
"""Output at once, however well the data compresses; events compress to about an eighth."""

_ZSTD_BYTES = 2 << 10
"""Input of one call of zstd, whose output has no limit: a block of 128 KiB takes 4 bytes or more, so at most 64 MiB."""

_LOGGER = logging.getLogger("sluice")

_PADDING = b"\0 \t\r\n"
"""What tar and file systems, and editors, leave behind a compressed file."""

_SHOWN_BYTES = 16
_LONGEST_WINDOW = 1 << 31  # what `zstd --long=31` writes
_CORRUPT = (zlib.error, zstandard.ZstdError, OSError, EOFError)


def _decompress_gzip(member: Any, data: bytes) -> Iterator[bytes]:
    while not member.eof:
        yield (piece := member.decompress(data, _MOST_BYTES))
        data = member.unconsumed_tail
        if not data and len(piece) < _MOST_BYTES:
            return


def _decompress_bzip2(member: Any, data: bytes) -> Iterator[bytes]:
    while not member.eof:
        yield member.decompress(data, _MOST_BYTES)
        if member.needs_input:
            return
        data = b""


def _decompress_zstd(member: Any, data: bytes) -> Iterator[bytes]:
    output = member.decompress(data)
    for at in range(0, len(output), _MOST_BYTES):
        yield output[at : at + _MOST_BYTES]


@dataclass(frozen=True, slots=True)
class Codec:
    """How a compressed file begins, what makes the decompressor of one member, how that takes bytes, and how many."""

    name: str
    magic: tuple[bytes, ...]
    member: Callable[[], Any]
    decompress: Callable[[Any, bytes], Iterator[bytes]]
    input_bytes: int = _COMPRESSED_BYTES


CODECS = (
    Codec("gzip", (b"\x1f\x8b\x08",), lambda: zlib.decompressobj(wbits=31), _decompress_gzip),
    Codec(
        "zstd",
        (b"\x28\xb5\x2f\xfd", *(bytes((0x50 + number, 0x2A, 0x4D, 0x18)) for number in range(16))),
        lambda: zstandard.ZstdDecompressor(max_window_size=_LONGEST_WINDOW).decompressobj(),
        _decompress_zstd,
        _ZSTD_BYTES,
    ),
    Codec(
        "bzip2",
        tuple(b"BZh%d%b" % pair for pair in product(range(1, 10), (b"1AY&SY", b"\x17rE8P\x90"))),
        bz2.BZ2Decompressor,
        _decompress_bzip2,
    ),
)
"""The second magic numbers of zstd begin a skippable frame, those of bzip2 an empty file."""


def detect_codec(head: bytes) -> Codec | None:
    """Return the codec of a file that begins with `head` (MAGIC_BYTES suffice); None if it is not compressed."""
    return next((codec for codec in CODECS if head.startswith(codec.magic)), None)


def decompress(chunks: Iterable[bytes], codec: Codec, uri: str) -> Iterator[bytes]:
    """Yield the decompressed content of `chunks`, in pieces of half a MiB to two, however well it compresses.

    NUL and blanks between and behind the members are padding.

    Raises:
        SourceError: the data is corrupt, cut off, or followed by something else; names `uri`, the byte of the
            compressed file and the reason.

    """
    members = _Members(codec, uri)
    output: list[bytes] = []
    size = 0
    for compressed in _sliced(chunks, codec.input_bytes):
        for content in members.decompress(compressed):
            output.append(content)
            size += len(content)
            if size >= _OUTPUT_BYTES:
                yield b"".join(output)
                output, size = [], 0
    if size:
        yield b"".join(output)
    members.end()


class _Members:
    """The members of a compressed file, one after the other."""

    def __init__(self, codec: Codec, uri: str) -> None:
        self._codec, self._uri = codec, uri
        self._member: Any = None
        self._at = 0
        """Bytes of the file before `data` in `decompress`."""
        self._warned = False
        self._held = b""
        """The first bytes of a member, which are too few to tell that it is one."""

    def decompress(self, compressed: bytes) -> Iterator[bytes]:
        """Yield what the next bytes of the file contain."""
        data, self._held = self._held + compressed, b""
        self._at += len(compressed)
        while data:
            if self._member is None:
                data = self._without_padding(data)
                if not self._begins_member(data):
                    return
                self._member = self._codec.member()
            try:
                yield from self._codec.decompress(self._member, data)
            except _CORRUPT as error:
                raise self._error(len(data), str(error)) from error
            data = self._member.unused_data if self._member.eof else b""
            self._member = None if self._member.eof else self._member

    def _without_padding(self, data: bytes) -> bytes:
        """Return `data` from the next member on; blanks are padding that nothing writes on purpose, so warn of them."""
        rest = data.lstrip(_PADDING)
        blanks = data[: len(data) - len(rest)].strip(b"\0")
        if blanks and not self._warned:
            self._warned = True
            at = self._at - len(data)
            _LOGGER.warning(
                "%s: ignored %r behind the %s data at byte %d",
                self._uri,
                blanks[:_SHOWN_BYTES],
                self._codec.name,
                at,
            )
        return rest

    def _begins_member(self, data: bytes) -> bool:
        """Tell whether a member begins with `data`, or hold it until there is more of it."""
        if data.startswith(self._codec.magic):
            return True
        if any(magic.startswith(data) for magic in self._codec.magic):
            self._held = data
            return False
        rest = f"the {self._codec.name} data ends, and {data[:_SHOWN_BYTES]!r} follows"
        raise self._error(len(data), f"{rest}; remove it, or compress all of the file")

    def end(self) -> None:
        """Raise SourceError if the file ends within a member."""
        if self._member is not None or self._held:
            raise self._error(0, "the file is cut off")

    def _error(self, left: int, reason: str) -> SourceError:
        at = self._at - left
        return SourceError(f"{self._uri}: cannot decompress {self._codec.name} at byte {at}: {reason}")


def _sliced(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    for chunk in chunks:
        for at in range(0, len(chunk), size):
            yield chunk[at : at + size]
