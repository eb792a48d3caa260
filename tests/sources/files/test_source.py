"""The file source: what a pattern means, what is split, what comes out, and what is said when it fails."""

from __future__ import annotations

import bz2
import gzip
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
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
from sluice.provenance import Origin
from sluice.sources import open_source
from sluice.sources.files import source as files
from sluice.sources.files.listing import FoundFile, find_files
from sluice.sources.files.source import Piece, plan_reading, read_item

from examples import generate
from tests.origins import offsets_of, origins_of

SAMPLE = Path(__file__).parents[3] / "examples" / "backend_events"
MODIFIED = 1_739_020_000.0
MIB = 1 << 20
NOBODY = 65534
EVENT = b'{"event_type":"order","n":%d}'
LINES = b"\n".join(EVENT % number for number in range(200_000)) + b"\n"


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (MODIFIED, MODIFIED))
    return path


def read(source: Path | str) -> list[tuple[int, bytes]]:
    """Offset and bytes of each record, in the order of the file."""
    batches = [batch for item in plan_reading(find_files(str(source))) for batch in read_item(item)]
    return sorted((pair for batch in batches for pair in zip(offsets_of(batch), batch.records, strict=True)))


def lines(data: bytes) -> list[tuple[int, bytes]]:
    found, at = [], 0
    for line in data.split(b"\n"):
        if line not in (b"", b"\r"):
            found.append((at, line))
        at += len(line) + 1
    return found


@pytest.fixture
def history(tmp_path: Path) -> Path:
    for name in (
        "a.json",
        "b.ndjson",
        "b[1].json",
        ".hidden.json",
        "day/c.json.gz",
        "day/.d.json",
        ".git/e.json",
    ):
        write(tmp_path / name, b"{}\n")
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("", ["a.json", "b.ndjson", "b[1].json", "day/c.json.gz"]),
        ("a.json", ["a.json"]),
        ("*", ["a.json", "b.ndjson", "b[1].json"]),
        ("*.json", ["a.json", "b[1].json"]),
        ("**/*.gz", ["day/c.json.gz"]),
        ("**", ["a.json", "b.ndjson", "b[1].json", "day/c.json.gz"]),
        ("[ab].*json", ["a.json", "b.ndjson"]),
        ("b[1].json", ["b[1].json"]),
        ("day", ["day/c.json.gz"]),
        ("day/", ["day/c.json.gz"]),
        (".*.json", [".hidden.json"]),
        (".hidden.json", [".hidden.json"]),
    ],
)
def test_what_a_pattern_means(history: Path, pattern: str, names: list[str]) -> None:
    expected = [FoundFile(str(history / name), 3, MODIFIED) for name in names]
    assert find_files(f"{history}/{pattern}") == expected
    assert find_files(f"file://{history}/{pattern}") == expected


def test_relative_paths_become_absolute(history: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(history)
    assert [file.uri for file in find_files("*.ndjson")] == [str(history / "b.ndjson")]


@pytest.mark.parametrize("pattern", ["in/*.json", "missing.json"])
def test_nothing_matches(pattern: str, history: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(history)
    with pytest.raises(SourceError) as caught:
        open_source(pattern).check()
    assert str(caught.value) == f"no file matches '{pattern}'"


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(str(tmp_path)).check()
    assert str(caught.value) == f"no file matches '{tmp_path}'"


def test_what_is_not_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError) as caught:
        open_source(str(tmp_path / "pipe")).check()
    assert str(caught.value) == f"{tmp_path}/pipe: cannot read: expected a file"


def test_a_dangling_link(tmp_path: Path) -> None:
    (tmp_path / "link.json").symlink_to("missing.json")
    with pytest.raises(SourceError) as caught:
        open_source(f"{tmp_path}/*").check()
    assert str(caught.value) == f"{tmp_path}/link.json: cannot read: No such file or directory"


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff.json")).write_bytes(b"{}")
    with pytest.raises(SourceError) as caught:
        open_source(str(tmp_path)).check()
    assert str(caught.value) == f"{tmp_path}/?.json: cannot read: expected a name in UTF-8"


def test_sizes(history: Path) -> None:
    assert open_source(f"{history}/*.json").size() == 6
    assert open_source(str(history)).size() is None
    assert open_source(str(history)).bounded is True


def test_an_unknown_scheme() -> None:
    with pytest.raises(ConfigError) as caught:
        open_source("ftp://host/x.json")
    known = "dead-letters:, file://, gs://, http://, https://, kafka://, mongodb://, mongodb+srv://, pubsub://, s3://"
    assert str(caught.value) == f"expected a path or a URL with one of {known}, got 'ftp://host/x.json'"


@pytest.mark.parametrize(
    ("scheme", "module", "extra"), [("s3", "boto3", "aws"), ("gs", "google.cloud.storage", "gcp")]
)
def test_a_client_that_is_not_installed(
    scheme: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError) as caught:
        open_source(f"{scheme}://bucket/x.json")
    assert str(caught.value) == (
        f"{scheme}://bucket/x.json: its client is not installed: pip install 'sluice-beam[{extra}]'"
    )


ARRAY = b"[" + b",\n".join(EVENT % number for number in range(3)) + b"]\n"
ARRAY_RECORDS = [(1 + 30 * number, EVENT % number) for number in range(3)]


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
def test_every_packing_and_format(
    tmp_path: Path, suffix: str, data: bytes, records: list[tuple[int, bytes]]
) -> None:
    assert read(write(tmp_path / f"x{suffix}", PACKERS[suffix](data))) == records


def test_a_suffix_does_not_make_a_packed_file(tmp_path: Path) -> None:
    assert read(write(tmp_path / "x.json.gz", b"{}\n")) == [(0, b"{}")]


def test_bytes_that_begin_like_a_packed_file_are_a_record(tmp_path: Path) -> None:
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
def test_several_members_in_a_row(tmp_path: Path, packed: bytes) -> None:
    assert read(write(tmp_path / "x", packed)) == lines(LINES[:9000])


def test_a_batch_says_where_its_records_are_from(tmp_path: Path) -> None:
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
def test_any_content_in_any_pieces(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, bounds: list[int]
) -> None:
    path = write(tmp_path_factory.getbasetemp() / "pieces.json", data)
    file = FoundFile(str(path), len(data), MODIFIED)
    cuts = sorted({0, len(data), *(bound for bound in bounds if bound < len(data))})
    item = tuple(Piece(file, start, stop) for start, stop in zip(cuts, cuts[1:], strict=False))
    found = [pair for batch in read_item(item) for pair in zip(offsets_of(batch), batch.records, strict=True)]
    assert found == lines(data)


def planned(source: Path | str) -> list[list[tuple[str, int, int]]]:
    items = plan_reading(find_files(str(source)))
    return [[(Path(piece.file.uri).name, piece.start, piece.stop) for piece in item] for item in items]


def test_a_large_file_is_cut_evenly(tmp_path: Path) -> None:
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
def test_what_cannot_be_cut_is_one_piece(tmp_path: Path, data: bytes) -> None:
    write(tmp_path / "x", data)
    assert len(data) > 4 * MIB
    assert planned(tmp_path) == [[("x", 0, len(data))]]


def test_a_large_array(tmp_path: Path) -> None:
    data = b"[" + LINES.rstrip().replace(b"\n", b",\n") + b"]"
    write(tmp_path / "x.json", data)
    found = read(tmp_path)
    assert [record for _, record in found] == LINES.split()
    assert all(data[offset : offset + len(record)] == record for offset, record in found)


def test_small_files_are_read_together() -> None:
    found = [FoundFile(f"/x/{number:05}.json", 1000, MODIFIED) for number in range(10_000)]
    items = plan_reading(found)
    sizes = [len(item) for item in items]
    assert len(items) == 65
    assert sizes == [156] * 64 + [16]
    assert sorted(piece.file for item in items for piece in item) == found


def test_empty_files_are_no_work() -> None:
    assert plan_reading([FoundFile("/x/empty.json", 0, MODIFIED)]) == []


def test_large_splits_stay_bounded() -> None:
    file = FoundFile("/x/huge.json", 0, MODIFIED)
    pieces = files._cut(Piece(file._replace(size=10 << 30), 0, 10 << 30), 64 * MIB)
    assert len(pieces) == 160
    assert {piece.stop - piece.start for piece in pieces} == {64 * MIB}


def fails(path: Path) -> str:
    with pytest.raises(SourceError) as caught:
        read(path)
    return str(caught.value)


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
            "cannot decompress gzip at byte 23: Error -3 while decompressing data: incorrect header check",
        ),
        (
            b"\x28\xb5\x2f\xfd" + b"\xff" * 20,
            "cannot decompress zstd at byte 0: zstd decompressor error: Unsupported frame parameter",
        ),
        (b"BZh91AY&SY" + b"\xff" * 2000, "cannot decompress bzip2 at byte 0: Invalid data stream"),
    ],
    ids=["short gzip", "short zstd", "short bzip2", "gzip", "gzip tail", "zstd", "bzip2"],
)
def test_corrupt_files(tmp_path: Path, packed: bytes, message: str) -> None:
    path = write(tmp_path / "x.json", packed)
    assert fails(path) == f"{path}: {message}"


def test_a_file_that_disappears(tmp_path: Path) -> None:
    path = write(tmp_path / "x.json", b"{}\n")
    items = plan_reading(find_files(str(path)))
    path.unlink()
    with pytest.raises(SourceError) as caught:
        list(read_item(items[0]))
    assert str(caught.value) == f"{path}: cannot open: No such file or directory"


@pytest.mark.parametrize("size", [0, 5])
def test_a_file_that_shrinks(tmp_path: Path, size: int) -> None:
    path = write(tmp_path / "x.json", b"1234567\n90\n")
    items = plan_reading(find_files(str(path)))
    os.truncate(path, size)
    with pytest.raises(SourceError) as caught:
        list(read_item(items[0]))
    assert str(caught.value) == f"{path}: cannot read at byte {size}: expected 11 bytes, the file has shrunk"


def test_a_file_that_grows_is_read_as_it_was_found(tmp_path: Path) -> None:
    path = write(tmp_path / "x.json", b"1\n2\n")
    items = plan_reading(find_files(str(path)))
    with path.open("ab") as file:
        file.write(b"3\n")
    assert [batch.records for batch in read_item(items[0])] == [[b"1", b"2"]]


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that everybody may look into, which those of pytest are not."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Be nobody, if we are root, who may read everything."""
    us = os.geteuid()
    if us == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(us)


def test_a_file_that_may_not_be_read(public: Path) -> None:
    path = write(public / "x.json", b"{}\n")
    path.chmod(0)
    with unprivileged():
        assert fails(path) == f"{path}: cannot open: Permission denied"


def test_a_folder_that_may_not_be_listed(public: Path) -> None:
    write(public / "in" / "x.json", b"{}\n")
    (public / "in").chmod(0)
    with unprivileged():
        assert fails(public / "in") == f"{public}/in: cannot list: Permission denied"
    (public / "in").chmod(0o700)


def flatten(batch: RecordBatch) -> Iterable[tuple[str, int, bytes]]:
    return (
        (Path(batch.provenance.uri).name, *pair)
        for pair in zip(offsets_of(batch), batch.records, strict=True)
    )


def test_the_source_in_a_pipeline(tmp_path: Path) -> None:
    write(tmp_path / "a.json", LINES[:9000])
    write(tmp_path / "b.json.gz", gzip.compress(b"1\n2\n"))
    write(tmp_path / "c.json", ARRAY)
    expected = [("a.json", *pair) for pair in lines(LINES[:9000])]
    expected += [("b.json.gz", 0, b"1"), ("b.json.gz", 2, b"2")]
    expected += [("c.json", *pair) for pair in ARRAY_RECORDS]
    with test_pipeline.TestPipeline("FnApiRunner") as pipeline:
        records = pipeline | "Read" >> open_source(str(tmp_path)) | "Flatten" >> beam.FlatMap(flatten)
        assert_that(records, equal_to(expected))


def test_the_sample_history_is_what_its_generator_makes(tmp_path: Path) -> None:
    generate.write(tmp_path)
    for path in (
        SAMPLE / "expected.json",
        SAMPLE / "history" / generate.LINES,
        SAMPLE / "history" / generate.ARRAY,
    ):
        assert (tmp_path / path.relative_to(SAMPLE)).read_bytes() == path.read_bytes()
    packed = Path("history") / generate.PACKED
    # Builds of zlib differ in how they pack, not in what.
    assert gzip.decompress((tmp_path / packed).read_bytes()) == gzip.decompress(
        (SAMPLE / packed).read_bytes()
    )


def test_the_sample_history_is_read_whole() -> None:
    expected = json.loads((SAMPLE / "expected.json").read_text("utf-8"))
    assert len(read(SAMPLE / "history")) == expected["read"]
