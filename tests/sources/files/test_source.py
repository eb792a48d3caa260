"""The records of files in every compression and format, the splits, and the errors of a read."""

from __future__ import annotations

import bz2
import gzip
import json
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import apache_beam as beam
import pytest
import zstandard
from apache_beam.testing import test_pipeline
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given
from hypothesis import strategies as st
from sluice.elements import RecordBatch
from sluice.errors import ConfigError, SourceError
from sluice.provenance import FileProvenance, Origin
from sluice.sources import open_source
from sluice.sources.files import source as files
from sluice.sources.files.found_file import FoundFile
from sluice.sources.files.listing import find_files
from sluice.sources.files.pieces import Piece
from sluice.sources.files.source import plan_reading, read_item

from examples import generate
from tests.origins import offsets_of, origins_of
from tests.sources.files.file_fixture import (
    ARRAY,
    ARRAY_RECORDS,
    LINES,
    MIB,
    MODIFIED,
    error_of,
    lines,
    read,
    write,
)

SAMPLE = Path(__file__).parents[3] / "examples" / "backend_events"


def test_unknown_scheme_is_an_error() -> None:
    with pytest.raises(ConfigError) as caught:
        open_source("ftp://host/x.json")
    known = "dead-letters:, file://, gs://, http://, https://, kafka://, mongodb://, mongodb+srv://, pubsub://, s3://"
    assert str(caught.value) == f"expected a path or a URL with one of {known}, got 'ftp://host/x.json'"


@pytest.mark.parametrize(
    ("scheme", "module", "extra"), [("s3", "boto3", "aws"), ("gs", "google.cloud.storage", "gcp")]
)
def test_missing_client_is_an_error(
    scheme: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError) as caught:
        open_source(f"{scheme}://bucket/x.json")
    assert str(caught.value) == (
        f"{scheme}://bucket/x.json: its client is not installed: pip install 'sluice-beam[{extra}]'"
    )


def zstd(data: bytes) -> bytes:
    return zstandard.compress(data)


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".json": lambda data: data,
    ".json.gz": gzip.compress,
    ".json.zst": zstd,
    ".json.bz2": bz2.compress,
    ".without_its_suffix": gzip.compress,
}


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize(
    ("data", "records"),
    [
        (b"", []),
        (b"\n", []),
        (b"1\n\n \xff\x00\r\n2", [(0, b"1"), (3, b" \xff\x00\r"), (8, b"2")]),
        (ARRAY, ARRAY_RECORDS),
        (b'{\n "a": 1.10\n}\n', [(0, b'{\n "a": 1.10\n}')]),
        (LINES, lines(LINES)),
    ],
    ids=["empty", "blank", "bytes", "array", "pretty", "large"],
)
def test_every_compression_and_format_is_read(
    tmp_path: Path, suffix: str, data: bytes, records: list[tuple[int, bytes]]
) -> None:
    assert read(write(tmp_path / f"x{suffix}", PACKERS[suffix](data))) == records


def test_suffix_alone_does_not_make_a_compressed_file(tmp_path: Path) -> None:
    assert read(write(tmp_path / "x.json.gz", b"{}\n")) == [(0, b"{}")]


def test_bytes_similar_to_magic_bytes_are_a_record(tmp_path: Path) -> None:
    assert read(write(tmp_path / "x.json", b"BZh9\n\x1f\x8b\n")) == [(0, b"BZh9"), (5, b"\x1f\x8b")]


SKIPPED = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"


@pytest.mark.parametrize(
    "packed",
    [
        gzip.compress(LINES[:4000]) + gzip.compress(b"") + gzip.compress(LINES[4000:9000]),
        gzip.compress(LINES[:9000]) + b"\0" * 512,
        b"".join(gzip.compress(LINES[at : at + 10]) for at in range(0, 9000, 10)),
        zstd(LINES[:4000]) + zstd(b"") + zstd(LINES[4000:9000]),
        SKIPPED + zstd(LINES[:9000]) + SKIPPED,
        bz2.compress(LINES[:4000]) + bz2.compress(b"") + bz2.compress(LINES[4000:9000]),
        bz2.compress(b"") + bz2.compress(LINES[:9000]),
    ],
    ids=["gzip", "padded gzip", "many gzip", "zstd", "skippable zstd", "bzip2", "empty bzip2"],
)
def test_compressed_file_of_several_members_is_read(tmp_path: Path, packed: bytes) -> None:
    assert read(write(tmp_path / "x", packed)) == lines(LINES[:9000])


def test_batch_has_the_origins_of_its_records(tmp_path: Path) -> None:
    path = write(tmp_path / "x.json", b"\n1\n2\n")
    (item,) = plan_reading(find_files(str(path)))
    (batch,) = read_item(item)
    assert batch.records == [b"1", b"2"]
    assert origins_of(batch) == [Origin(str(path), MODIFIED, offset=1), Origin(str(path), MODIFIED, offset=3)]
    assert batch.origin(1).offset == 3


@given(
    data=st.lists(st.sampled_from([b"\n", b"\r", b"a", b"{}", b"\xff", b"long line"]), max_size=30).map(
        b"".join
    ),
    bounds=st.lists(st.integers(0, 60), max_size=4),
)
def test_pieces_have_the_lines_of_the_whole_file(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, bounds: list[int]
) -> None:
    path = write(tmp_path_factory.getbasetemp() / "pieces.json", data)
    file = FoundFile(str(path), len(data), MODIFIED)
    cuts = sorted({0, len(data), *(bound for bound in bounds if bound < len(data))})
    item = tuple(Piece(file, start, stop) for start, stop in zip(cuts, cuts[1:], strict=False))
    pairs = [pair for batch in read_item(item) for pair in zip(offsets_of(batch), batch.records, strict=True)]
    assert pairs == lines(data)


def planned(source: Path | str) -> list[list[tuple[str, int, int]]]:
    items = plan_reading(find_files(str(source)))
    return [[(Path(piece.file.uri).name, piece.start, piece.stop) for piece in item] for item in items]


def test_large_file_is_split_evenly(tmp_path: Path) -> None:
    data = LINES + LINES
    write(tmp_path / "x.json", data)
    size = len(data)
    quarters = [size * quarter // 4 for quarter in range(5)]
    assert size > 8 * MIB
    assert sorted(planned(tmp_path)) == [
        [("x.json", start, stop)] for start, stop in zip(quarters, quarters[1:], strict=False)
    ]
    assert read(tmp_path) == lines(data)


@pytest.mark.parametrize(
    "data",
    [b"[" + LINES.rstrip().replace(b"\n", b",\n") + b"]", gzip.compress(os.urandom(5 * MIB))],
    ids=["array", "packed"],
)
def test_array_or_compressed_file_is_one_piece(tmp_path: Path, data: bytes) -> None:
    write(tmp_path / "x", data)
    assert len(data) > 4 * MIB
    assert planned(tmp_path) == [[("x", 0, len(data))]]


def test_large_array_is_read(tmp_path: Path) -> None:
    data = b"[" + LINES.rstrip().replace(b"\n", b",\n") + b"]"
    write(tmp_path / "x.json", data)
    pairs = read(tmp_path)
    assert [record for _, record in pairs] == LINES.split()
    assert all(data[offset : offset + len(record)] == record for offset, record in pairs)


def test_small_files_are_read_together() -> None:
    files = [FoundFile(f"/x/{number:05}.json", 1000, MODIFIED) for number in range(10_000)]
    items = plan_reading(files)
    sizes = [len(item) for item in items]
    assert len(items) == 65
    assert sizes == [156] * 64 + [16]
    assert sorted(piece.file for item in items for piece in item) == files


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("empty.json", b""),
        ("empty.csv", b""),
        ("header.csv", b"id,at\n"),
        ("lines.json", b"\n\n"),
        ("array.json", b"[]"),
        ("empty.json.gz", gzip.compress(b"")),
        ("header.csv.gz", gzip.compress(b"id,at\r\n")),
        ("empty.zst", zstandard.compress(b"")),
        ("empty.bz2", bz2.compress(b"")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_file_without_records_makes_one_batch_without_records(tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    os.utime(path, (MODIFIED, MODIFIED))
    batches = [batch for item in plan_reading(find_files(str(path))) for batch in read_item(item)]
    assert batches == [RecordBatch([], FileProvenance(str(path), MODIFIED, [], size=len(data)))]


@pytest.mark.parametrize("data", [b"id,at\r1,2\n3,4\n5,6\n", b"id,a\rt\n1,2\n3,4\n"])
def test_header_with_a_stray_carriage_return_is_an_error(tmp_path: Path, data: bytes) -> None:
    """Its file has mixed line ends: the first row would be lost in the header."""
    path = tmp_path / "mixed.csv"
    path.write_bytes(data)
    assert error_of(path) == (
        f"{path}: expected a header that ends as the rows do, got a carriage return outside quotes in it; write all "
        "line ends alike"
    )


def test_large_splits_stay_bounded() -> None:
    file = FoundFile("/x/huge.json", 0, MODIFIED)
    pieces = files._cut(Piece(file._replace(size=10 << 30), 0, 10 << 30), 64 * MIB)
    assert len(pieces) == 160
    assert {piece.stop - piece.start for piece in pieces} == {64 * MIB}


@pytest.mark.parametrize(
    ("packed", "message"),
    [
        (gzip.compress(LINES)[:5000], "cannot decompress gzip at byte 5000: the file is cut off"),
        (zstd(LINES)[:5000], "cannot decompress zstd at byte 5000: the file is cut off"),
        (bz2.compress(LINES)[:5000], "cannot decompress bzip2 at byte 5000: the file is cut off"),
        (
            gzip.compress(LINES[:5000])[:-8] + b"oops" * 2,
            "cannot decompress gzip at byte 0: Error -3 while decompressing data: incorrect data check",
        ),
        (
            gzip.compress(b"{}\n") + b"oops",
            "cannot decompress gzip at byte 23: the gzip data ends, and b'oops' follows; "
            "remove it, or compress all of the file",
        ),
        (
            b"\x28\xb5\x2f\xfd" + b"\xff" * 20,
            "cannot decompress zstd at byte 0: zstd decompressor error: Unsupported frame parameter",
        ),
        (b"BZh91AY&SY" + b"\xff" * 2000, "cannot decompress bzip2 at byte 0: Invalid data stream"),
    ],
    ids=["short gzip", "short zstd", "short bzip2", "gzip", "gzip tail", "zstd", "bzip2"],
)
def test_corrupt_file_is_an_error(tmp_path: Path, packed: bytes, message: str) -> None:
    path = write(tmp_path / "x.json", packed)
    assert error_of(path) == f"{path}: {message}"


def test_csv_header_without_an_end_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", b'"a,' + b"b" * (1 << 20))
    problem = "expected a header of at most 1048576 bytes; is a quote in it not closed?"
    assert error_of(path) == f"{path}: {problem}"


@pytest.mark.parametrize("data", [b'{"a":1}\n', b"\xef\xbb\xbf[\n {\n", b'{\n  "a": 1\n}', b"[[1]]"])
def test_json_that_is_named_csv_is_an_error(tmp_path: Path, data: bytes) -> None:
    path = write(tmp_path / "x.csv", data)
    assert error_of(path) == f"{path}: expected CSV, as its name says, got JSON; rename it"


def test_deleted_file_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "x.json", b"{}\n")
    items = plan_reading(find_files(str(path)))
    path.unlink()
    with pytest.raises(SourceError) as caught:
        list(read_item(items[0]))
    assert str(caught.value) == f"{path}: cannot open: No such file or directory"


@pytest.mark.parametrize("size", [0, 5])
def test_truncated_file_is_an_error(tmp_path: Path, size: int) -> None:
    path = write(tmp_path / "x.json", b"1234567\n90\n")
    items = plan_reading(find_files(str(path)))
    os.truncate(path, size)
    with pytest.raises(SourceError) as caught:
        list(read_item(items[0]))
    assert str(caught.value) == f"{path}: cannot read at byte {size}: expected 11 bytes, the file has shrunk"


def replaced(path: Path, data: bytes) -> None:
    write(path.with_suffix(".new"), data).rename(path)
    os.utime(path, (MODIFIED + 1, MODIFIED + 1))


def rewritten(path: Path, data: bytes) -> None:
    write(path, data)
    os.utime(path, (MODIFIED + 1, MODIFIED + 1))


@pytest.mark.parametrize(
    ("change", "data"),
    [(replaced, b"3\n4\n"), (replaced, b"3\n4\n5\n"), (rewritten, b"3\n4\n")],
)
@pytest.mark.parametrize("name", ["x.json", "x.csv"])
def test_file_that_was_replaced_since_it_was_found_is_an_error(
    tmp_path: Path, name: str, change: Callable[[Path, bytes], None], data: bytes
) -> None:
    path = write(tmp_path / name, b"1\n2\n")
    items = plan_reading(find_files(str(path)))
    change(path, data)
    with pytest.raises(SourceError) as caught:
        list(read_item(items[0]))
    assert str(caught.value) == (
        f"{path}: cannot read: expected the file that was there when the run began, got another one under its name; "
        "run again"
    )


def test_file_that_is_renamed_while_it_is_read_is_read_to_its_end(tmp_path: Path) -> None:
    path = write(tmp_path / "x.json", b"1\n" * 500_000)
    batches = read_item(plan_reading(find_files(str(path)))[0])
    records = [*next(batches).records]
    path.rename(tmp_path / "x.json.1")
    write(path, b"2\n")
    records += [record for batch in batches for record in batch.records]
    assert records == [b"1"] * 500_000


def test_appended_bytes_are_not_read(tmp_path: Path) -> None:
    path = write(tmp_path / "x.json", b"1\n2\n")
    items = plan_reading(find_files(str(path)))
    with path.open("ab") as file:
        file.write(b"3\n")
    assert [batch.records for batch in read_item(items[0])] == [[b"1", b"2"]]


def flatten(batch: RecordBatch) -> Iterable[tuple[str, int, bytes]]:
    return (
        (Path(batch.provenance.uri).name, *pair)
        for pair in zip(offsets_of(batch), batch.records, strict=True)
    )


def test_pipeline_reads_all_files(tmp_path: Path) -> None:
    write(tmp_path / "a.json", LINES[:9000])
    write(tmp_path / "b.json.gz", gzip.compress(b"1\n2\n"))
    write(tmp_path / "c.json", ARRAY)
    expected = [("a.json", *pair) for pair in lines(LINES[:9000])]
    expected += [("b.json.gz", 0, b"1"), ("b.json.gz", 2, b"2")]
    expected += [("c.json", *pair) for pair in ARRAY_RECORDS]
    with test_pipeline.TestPipeline("FnApiRunner") as pipeline:
        records = pipeline | "Read" >> open_source(str(tmp_path)) | "Flatten" >> beam.FlatMap(flatten)
        assert_that(records, equal_to(expected))


def test_sample_history_equals_the_output_of_its_generator(tmp_path: Path) -> None:
    generate.write(tmp_path)
    for path in (
        SAMPLE / "expected.json",
        SAMPLE / "history" / generate.LINES,
        SAMPLE / "history" / generate.ARRAY,
    ):
        assert (tmp_path / path.relative_to(SAMPLE)).read_bytes() == path.read_bytes()
    packed = Path("history") / generate.PACKED
    # Builds of zlib compress differently; only the content is equal.
    assert gzip.decompress((tmp_path / packed).read_bytes()) == gzip.decompress(
        (SAMPLE / packed).read_bytes()
    )


def test_sample_history_is_read_completely() -> None:
    expected = json.loads((SAMPLE / "expected.json").read_text("utf-8"))
    assert len(read(SAMPLE / "history")) == expected["read"]


@pytest.mark.parametrize("columns", [10_000, 60_000, 100_000])
def test_csv_header_of_any_number_of_columns_is_read_whole(tmp_path: Path, columns: int) -> None:
    header = b",".join(b"c%d" % index for index in range(columns))
    path = write(tmp_path / "wide.csv", header + b"\n" + b",".join([b"1"] * columns) + b"\n")
    batches = [batch for item in plan_reading(find_files(str(path))) for batch in read_item(item)]
    assert [len(batch.records) for batch in batches] == [1]
    assert batches[0].dialect is not None
    assert len(batches[0].dialect.columns) == columns
