"""Bytes of any kind become text in UTF-8, or one line that names what they are and the way out."""

from __future__ import annotations

import bz2
import gzip
import io
import itertools
import tarfile
import zipfile
from collections.abc import Callable

import pyarrow as pa
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from sluice.errors import SourceError
from sluice.formats.content import TYPED_FORMATS, open_content

TEXT = '{"a":"é𝄞\u2028"}\n{"b":1}\n'
ENCODINGS = {
    "utf-16-le": b"\xff\xfe",
    "utf-16-be": b"\xfe\xff",
    "utf-32-le": b"\xff\xfe\0\0",
    "utf-32-be": b"\0\0\xfe\xff",
}


def read(data: bytes, size: int = 1 << 20) -> bytes:
    chunks = (data[at : at + size] for at in range(0, len(data), size))
    return b"".join(open_content(chunks, "x").chunks)


def error_of(data: bytes) -> str:
    with pytest.raises(SourceError) as caught:
        read(data)
    return str(caught.value)


@pytest.mark.parametrize("size", [1, 3, 1 << 20])
@pytest.mark.parametrize("text", [TEXT, "sale_id;ü\n1;2\n", '\t[\n{"a":1}]', "é;a\n"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_text_with_its_byte_order_mark_becomes_utf8(encoding: str, text: str, size: int) -> None:
    bom, encoded = ENCODINGS[encoding], text.encode(encoding)
    assert read(bom + encoded, size) == b"\xef\xbb\xbf" + text.encode()
    if text.isascii():
        assert read(encoded, size) == text.encode()


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("text", ['{"a":1}\n', "[1]", " \n[]", "sale_id\tb", '"a";"b"'])
def test_text_without_a_byte_order_mark_becomes_utf8(encoding: str, text: str) -> None:
    assert read(text.encode(encoding)) == text.encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        TEXT.encode(),
        b"\xef\xbb\xbf{}",
        b"1\x002\x003\x00",
        b"{}\x00{}\x00",
        b"\x00{}\x00{}",
        b"\x00\x00\x00\x00",
        b"BZh9\n\x1f\x8b\n",
        b"PAR1,PAR2\n1,2\n",
        b"PK,name\n",
        b"ORC;ARROW1\n",
        b"x\x9cut",
        b"caf\xe9;b\n",
    ],
)
def test_other_bytes_stay_as_they_are(data: bytes) -> None:
    content = open_content([data], "x")
    assert (b"".join(content.chunks), content.is_plain) == (data, True)


def test_surrogate_without_its_pair_breaks_its_record_only() -> None:
    data = b"\xff\xfe" + '{"a":"'.encode("utf-16-le") + b"\x00\xd8" + '"}\n{}'.encode("utf-16-le")
    assert read(data) == b'\xef\xbb\xbf{"a":"\xed\xa0\x80"}\n{}'


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff\xfe{\0}", "x: cannot decode UTF-16 at byte 5: the file is cut off within a character"),
        (
            b"\xff\xfe\0\0{\0\0\0}\0",
            "x: cannot decode UTF-32 at byte 10: the file is cut off within a character",
        ),
        (
            b"\xff\xfe\0\0{\0\0\0\xff\xff\xff\xff",
            "x: cannot decode UTF-32 at byte 0: code point not in range(0x110000)",
        ),
    ],
)
def test_text_that_cannot_be_decoded_is_an_error(data: bytes, message: str) -> None:
    assert error_of(data) == message


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": zstandard.compress,
    "bzip2": bz2.compress,
}


@pytest.mark.parametrize("encoding", ["utf-8", *ENCODINGS])
@pytest.mark.parametrize(("first", "second"), list(itertools.product(PACKERS, [None, *PACKERS])))
def test_compressed_text_is_unpacked_also_twice(first: str, second: str | None, encoding: str) -> None:
    packed = PACKERS[first]('{"a":1}\n'.encode(encoding))
    packed = PACKERS[second](packed) if second else packed
    assert read(packed) == b'{"a":1}\n'
    assert open_content([packed], "x").is_plain is False


def test_text_that_is_compressed_too_often_is_an_error() -> None:
    packed = TEXT.encode()
    for _ in range(3):
        packed = gzip.compress(packed)
    assert read(packed) == TEXT.encode()
    assert (
        error_of(gzip.compress(packed))
        == "x: expected content that is compressed fewer than 4 times, got more"
    )


def _zip(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, TEXT)
    return file.getvalue()


def _tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.json"), io.BytesIO())
    return file.getvalue()


def _table(name: str) -> bytes:
    file, table = io.BytesIO(), pa.table({"a": [1]})
    if name == "parquet":
        pyarrow.parquet.write_table(table, file)
    elif name == "orc":
        pyarrow.orc.write_table(table, file)
    else:
        pyarrow.feather.write_feather(table, file)
    return file.getvalue()


UNPACK = "unpack it, or compress its files with gzip, zstd or bzip2"
CONVERT = "convert it to JSON lines or CSV"
SHEET = "save its sheet as CSV"


@pytest.mark.parametrize(
    ("data", "name", "way_out"),
    [
        (_zip("a.json"), "a zip archive", UNPACK),
        (_zip(), "a zip archive", UNPACK),
        (_zip("[Content_Types].xml", "xl/workbook.xml"), "an Office document", SHEET),
        (_zip("docProps/app.xml"), "an Office document", SHEET),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "an Office document", SHEET),
        (_tar(), "a tar archive", UNPACK),
        (b"\xfd7zXZ\0\0\4", "xz", UNPACK),
        (b"\x04\x22\x4d\x18\x64", "lz4", UNPACK),
        (b"\xff\x06\0\0sNaPpY", "snappy", UNPACK),
        (b"\x1f\x9d\x90", "compress (.Z)", UNPACK),
        (b"7z\xbc\xaf\x27\x1c\0", "a 7z archive", UNPACK),
        (b"Rar!\x1a\x07\x01\0", "a rar archive", UNPACK),
        (_table("parquet"), "Parquet", CONVERT),
        (_table("orc"), "ORC", CONVERT),
        (_table("feather"), "Arrow", CONVERT),
        (b"Obj\x01\x04\x14avro.codec", "Avro", CONVERT),
        (b"SQLite format 3\0", "a SQLite database", CONVERT),
        (b"%PDF-1.7", "PDF", CONVERT),
        (b"\x89PNG\r\n\x1a\n", "an image", CONVERT),
    ],
)
def test_binary_format_is_an_error_that_names_it(data: bytes, name: str, way_out: str) -> None:
    message = f"x: expected JSON or CSV, got {name}; {way_out}"
    assert error_of(data) == message
    assert error_of(gzip.compress(data)) == message


@pytest.mark.parametrize(("data", "name"), [(_table("parquet"), "Parquet"), (b"Obj\x01\x04", "Avro")])
def test_typed_format_that_the_caller_reads_is_told(data: bytes, name: str) -> None:
    content = open_content([data], "x", TYPED_FORMATS)
    assert (content.typed, content.is_plain, b"".join(content.chunks)) == (name, True, data)
    content = open_content([gzip.compress(data)], "x", TYPED_FORMATS)
    assert (content.typed, content.is_plain, b"".join(content.chunks)) == (name, False, data)


@pytest.mark.parametrize(
    ("data", "name"),
    [(_table("orc"), f"ORC; {CONVERT}"), (b"PARE\0", "encrypted Parquet; write it without encryption")],
)
def test_typed_format_that_nobody_reads_is_an_error(data: bytes, name: str) -> None:
    with pytest.raises(SourceError) as caught:
        open_content([data], "x", TYPED_FORMATS)
    assert str(caught.value) == f"x: expected JSON, CSV, Avro or Parquet, got {name}"


@given(st.binary(max_size=300), st.sampled_from([b"", *ENCODINGS.values(), b"\x1f\x8b\x08", b"PK\x03\x04"]))
def test_any_bytes_become_bytes_or_one_line(data: bytes, magic: bytes) -> None:
    try:
        read(magic + data)
    except SourceError as error:
        assert str(error).startswith("x: ")
        assert "\n" not in str(error)
