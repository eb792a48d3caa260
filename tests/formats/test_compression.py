"""Compressed content: members, padding, what lies behind them, and files that are cut off at any byte."""

from __future__ import annotations

import bz2
import gzip
import logging
from collections.abc import Callable

import pytest
import zstandard
from sluice.errors import SourceError
from sluice.formats.compression import decompress, detect_codec

DATA = b'{"a":1}\n' * 20
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": zstandard.compress,
    "bzip2": bz2.compress,
}


def unpack(packed: bytes, size: int = 1 << 20) -> bytes:
    codec = detect_codec(packed)
    assert codec is not None
    chunks = (packed[at : at + size] for at in range(0, len(packed), size))
    return b"".join(decompress(chunks, codec, "x.gz"))


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
@pytest.mark.parametrize("padding", [b"", b"\0" * 700, b"\n", b"\r\n \t\0"])
@pytest.mark.parametrize("name", PACKERS)
def test_members_with_padding_are_unpacked(name: str, padding: bytes, size: int) -> None:
    member = PACKERS[name](DATA)
    assert unpack(member + padding + member + padding, size) == DATA + DATA


def test_blanks_behind_the_data_are_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    packed = gzip.compress(DATA)
    with caplog.at_level(logging.WARNING, "sluice"):
        unpack(packed + b"\n" + packed + b"\n")
        unpack(packed + b"\0" * 512)
    assert caplog.messages == [f"x.gz: ignored b'\\n' behind the gzip data at byte {len(packed)}"]


@pytest.mark.parametrize("size", [1, 1 << 20])
@pytest.mark.parametrize("name", PACKERS)
def test_file_that_is_cut_off_at_any_byte_is_an_error(name: str, size: int) -> None:
    member = PACKERS[name](DATA)
    packed = member + member
    for end in range(11, len(packed)):
        if end == len(member):
            assert unpack(packed[:end], size) == DATA
            continue
        with pytest.raises(SourceError) as caught:
            unpack(packed[:end], size)
        assert str(caught.value) == f"x.gz: cannot decompress {name} at byte {end}: the file is cut off"


@pytest.mark.parametrize("size", [1, 1 << 20])
@pytest.mark.parametrize("junk", [b'{"a":2}\n', b"\n{}", b"\x1f\x8boops"])
@pytest.mark.parametrize("name", PACKERS)
def test_other_bytes_behind_the_data_are_an_error(name: str, junk: bytes, size: int) -> None:
    packed = PACKERS[name](DATA)
    with pytest.raises(SourceError) as caught:
        unpack(packed + junk, size)
    at = len(packed) + len(junk) - len(junk.lstrip())
    assert str(caught.value).startswith(f"x.gz: cannot decompress {name} at byte {at}: ")
    if size > 1 and junk != b"\x1f\x8boops":
        rest = f"the {name} data ends, and {junk.lstrip()[:16]!r} follows; remove it, or compress all of the file"
        assert str(caught.value).endswith(rest)


@pytest.mark.parametrize("name", PACKERS)
def test_content_that_compresses_well_is_unpacked_in_small_pieces(name: str) -> None:
    packed = PACKERS[name](bytes(48 << 20))
    codec = detect_codec(packed)
    assert codec is not None
    sizes = [len(piece) for piece in decompress([packed], codec, "x")]
    assert sum(sizes) == 48 << 20
    assert max(sizes) <= 3 << 19
