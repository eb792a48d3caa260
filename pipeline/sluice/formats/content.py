"""The bytes of a file, an object or an answer -> its text in UTF-8; compression and encoding are detected.

One reader for all sources. It unpacks what is compressed, also twice, turns UTF-16 and UTF-32 into UTF-8, and rejects
the binary formats that it knows, with the way out, before they become thousands of dead letters.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection, Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from sluice.errors import SourceError
from sluice.formats.compression import decompress, detect_codec

_MAGIC_BYTES = 512
"""How much of the content is looked at: the magic of tar is at byte 257."""

_MOST_LAYERS = 4
"""A file that is compressed more often than this was made to do harm."""

_SAVE_AS_CSV = "save its sheet as CSV"
_UNPACK = "unpack it, or compress its files with gzip, zstd or bzip2"
_CONVERT = "convert it to JSON lines or CSV"


class _Binary(NamedTuple):
    magic: re.Pattern[bytes]
    name: str
    way_out: str


def _starts(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(pattern, re.DOTALL)


_NO_TEXT = rb"\n?[\x00-\x08\x0e-\x1f]"
"""Behind a magic of letters: a header of CSV may begin with them, too."""

_BINARIES = (
    _Binary(
        _starts(rb"PK\x03\x04.{26}(?:\[Content_Types\]\.xml|_rels/|xl/|docProps/)"),
        "an Office document",
        _SAVE_AS_CSV,
    ),
    _Binary(_starts(rb"PK\x03\x04.{26}mimetypeapplication/vnd\.oasis"), "an OpenDocument file", _SAVE_AS_CSV),
    _Binary(_starts(rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), "an Office document", _SAVE_AS_CSV),
    _Binary(_starts(rb"PK(?:\x03\x04|\x05\x06|\x07\x08)"), "a zip archive", _UNPACK),
    _Binary(_starts(rb"\xfd7zXZ\x00"), "xz", _UNPACK),
    _Binary(_starts(rb"LZIP[\x00\x01]"), "lzip", _UNPACK),
    _Binary(_starts(rb"\x89LZO\x00\r\n\x1a\n"), "lzop", _UNPACK),
    _Binary(_starts(rb"\x04\x22\x4d\x18|\x02\x21\x4c\x18"), "lz4", _UNPACK),
    _Binary(_starts(rb"\xff\x06\x00\x00sNaPpY"), "snappy", _UNPACK),
    _Binary(_starts(rb"\x1f[\x9d\xa0]"), "compress (.Z)", _UNPACK),
    _Binary(_starts(rb"\x78[\x01\x9c\xda][^ -~\t\r\n]"), "zlib", _UNPACK),
    _Binary(_starts(rb"7z\xbc\xaf\x27\x1c"), "a 7z archive", _UNPACK),
    _Binary(_starts(rb"Rar!\x1a\x07"), "a rar archive", _UNPACK),
    _Binary(_starts(rb".{257}ustar(?:\x00|  \x00)"), "a tar archive", _UNPACK),
    _Binary(_starts(rb"PAR1" + _NO_TEXT), "Parquet", _CONVERT),
    _Binary(_starts(rb"PARE" + _NO_TEXT), "encrypted Parquet", "write it without encryption"),
    _Binary(_starts(rb"Obj\x01"), "Avro", _CONVERT),
    _Binary(_starts(rb"ORC" + _NO_TEXT), "ORC", _CONVERT),
    _Binary(_starts(rb"(?:ARROW1|FEA1)" + _NO_TEXT), "Arrow", _CONVERT),
    _Binary(_starts(rb"SEQ[\x04-\x06]"), "a Hadoop sequence file", _CONVERT),
    _Binary(_starts(rb"SQLite format 3\x00"), "a SQLite database", _CONVERT),
    _Binary(_starts(rb"\x89HDF\r\n\x1a\n"), "HDF5", _CONVERT),
    _Binary(_starts(rb"%PDF-"), "PDF", _CONVERT),
    _Binary(_starts(rb"\x89PNG\r\n\x1a\n|GIF8[79]a|\xff\xd8\xff"), "an image", _CONVERT),
)
"""Formats that are no text, the first that matches counts; their specifications name these bytes."""

_ENCODINGS = (
    ("utf-32-le", _starts(rb"\xff\xfe\x00\x00")),
    ("utf-32-be", _starts(rb"\x00\x00\xfe\xff")),
    ("utf-16-le", _starts(rb"\xff\xfe")),
    ("utf-16-be", _starts(rb"\xfe\xff")),
    ("utf-32-le", _starts(rb"(?:[ -/:-~\t\r\n\x1e]\x00\x00\x00)[\x01-\x7f]\x00\x00\x00")),
    ("utf-32-be", _starts(rb"\x00\x00\x00[ -/:-~\t\r\n\x1e]\x00\x00\x00[\x01-\x7f]")),
    ("utf-16-le", _starts(rb"[ -/:-~\t\r\n\x1e]\x00[\x01-\x7f]\x00")),
    ("utf-16-be", _starts(rb"\x00[ -/:-~\t\r\n\x1e]\x00[\x01-\x7f]")),
)
"""By its byte order mark, or by the NULs of two ASCII characters (RFC 4627, section 3), of which the first is no digit:
digits with NUL between them may be values that NUL separates."""


class Content(NamedTuple):
    """The text of a file, in pieces."""

    chunks: Iterator[bytes]
    """In UTF-8 as far as its encoding is detected; see `csv_dialect` for Windows-1252."""
    is_plain: bool
    """Neither compressed nor in another encoding, so that it has the offsets of the file."""
    typed: str = ""
    """`Avro` or `Parquet`: then the chunks are that, and no text."""


TYPED_FORMATS = ("Avro", "Parquet")
"""Binary formats, with a schema of their own, whose rows become records."""


def open_content(chunks: Iterable[bytes], name: str, typed: Collection[str] = ()) -> Content:
    """Return the text that `chunks` contain: all bytes of a file, an object or an answer, from the first on.

    Args:
        chunks: the bytes.
        name: of what has them, for messages.
        typed: of `TYPED_FORMATS`, those that the caller can read.

    Raises:
        SourceError: the content is no text, or compressed too often; names `name`. While the chunks are read: it is
            corrupt or cut off.

    """
    plain = True
    for _ in range(_MOST_LAYERS):
        head, chunks = peek(iter(chunks), _MAGIC_BYTES)
        codec = detect_codec(head)
        if codec is None:
            break
        chunks, plain = decompress(chunks, codec, name), False
    else:
        message = f"{name}: expected content that is compressed fewer than {_MOST_LAYERS} times, got more"
        raise SourceError(message)
    binary = _binary(head)
    if binary is not None and binary.name in typed:
        return Content(chunks, plain, binary.name)
    if binary is not None:
        *most, last = ("JSON", "CSV", *typed)
        message = f"{name}: expected {', '.join(most)} or {last}, got {binary.name}; {binary.way_out}"
        raise SourceError(message)
    encoding = next((encoding for encoding, magic in _ENCODINGS if magic.match(head)), None)
    return Content(chunks, plain) if encoding is None else Content(_transcode(chunks, encoding, name), False)


def typed_format(head: bytes) -> str:
    """Return which of `TYPED_FORMATS` begins with `head`; empty if none does."""
    binary = _binary(head)
    return binary.name if binary is not None and binary.name in TYPED_FORMATS else ""


def _binary(head: bytes) -> _Binary | None:
    return next((binary for binary in _BINARIES if binary.magic.match(head)), None)


def peek(chunks: Iterator[bytes], size: int) -> tuple[bytes, Iterator[bytes]]:
    """Return the first `size` bytes or more (fewer only if there are no more), and the chunks from the first on."""
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= size:
            break
    return head, chain([head], chunks)


def _transcode(chunks: Iterable[bytes], encoding: str, name: str) -> Iterator[bytes]:
    """Yield the text of `chunks` in UTF-8. A surrogate without its pair makes its record invalid, not the file."""
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
    at = 0
    for chunk in chain(chunks, [b""]):
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            reason = "the file is cut off within a character" if not chunk else error.reason
            message = f"{name}: cannot decode {encoding[:6].upper()} at byte {at}: {reason}"
            raise SourceError(message) from error
        at += len(chunk)
        if text:
            yield text.encode("utf-8", "surrogatepass")
