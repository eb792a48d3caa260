"""Avro and Parquet files as a source: compressed or not, whole or in parts, with their rows as positions."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from sluice.elements import RecordBatch
from sluice.provenance import FileProvenance, Origin
from sluice.sources.files import source as files
from sluice.sources.files.listing import find_files
from sluice.sources.files.pieces import Piece
from sluice.sources.files.source import plan_reading, read_item

from tests.formats.avro_fixture import avro_file
from tests.origins import offsets_of, origins_of
from tests.sources.files.file_fixture import MODIFIED, error_of, lines, read, write

SCHEMA = {"type": "record", "name": "row", "fields": [{"name": "a", "type": "long"}]}
RECORDS = [(number, b'{"a":%d}' % number) for number in range(5000)]


def parquet(rows: int, **options: int) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"a": range(rows)}), file, **options)
    return file.getvalue()


AVRO = avro_file(SCHEMA, [{"a": number} for number in range(5000)], sync_interval=500)
PARQUET = parquet(5000, row_group_size=700)


@pytest.mark.parametrize("data", [AVRO, PARQUET], ids=["avro", "parquet"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress], ids=["plain", "gzip", "zstd"])
@pytest.mark.parametrize("name", ["x.avro", "x.csv", "part-00000"])
def test_rows_are_read_whatever_the_name_says(tmp_path: Path, data: bytes, pack: object, name: str) -> None:
    assert callable(pack)
    assert read(write(tmp_path / name, pack(data))) == RECORDS


@pytest.mark.parametrize("data", [AVRO, PARQUET], ids=["avro", "parquet"])
@pytest.mark.parametrize("target", [1, 3000, 1 << 20])
def test_parts_have_the_rows_of_the_whole_file(tmp_path: Path, data: bytes, target: int) -> None:
    path = write(tmp_path / "x", data)
    (file,) = find_files(str(path))
    parts = files._parts(Piece(file, 0, file.size), target)
    assert (len(parts) > 1) == (target < len(data))
    assert (parts[0].start, parts[-1].stop) == (0, file.size)
    batches = [batch for part in reversed(parts) for batch in read_item((part,))]
    records = [record for batch in batches for record in zip(offsets_of(batch), batch.records, strict=True)]
    assert sorted(records) == RECORDS


def test_origin_of_a_row_is_its_number(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", parquet(3, row_group_size=2))
    (item,) = plan_reading(find_files(str(path)))
    origins = [origin for batch in read_item(item) for origin in origins_of(batch)]
    assert origins == [Origin(str(path), MODIFIED, offset=row, line=row + 1) for row in range(3)]


@pytest.mark.parametrize("data", [avro_file(SCHEMA, []), parquet(0)], ids=["avro", "parquet"])
def test_file_without_rows_makes_one_batch_without_records(tmp_path: Path, data: bytes) -> None:
    path = write(tmp_path / "x", data)
    batches = [batch for item in plan_reading(find_files(str(path))) for batch in read_item(item)]
    assert batches == [RecordBatch([], FileProvenance(str(path), MODIFIED, [], size=len(data)))]


def test_file_that_is_cut_off_is_an_error(tmp_path: Path) -> None:
    avro = write(tmp_path / "x.avro", AVRO[:-1])
    assert "the file is cut off in this block" in error_of(avro)
    path = write(tmp_path / "x.parquet", PARQUET[:-1])
    assert error_of(path).startswith(f"{path}: cannot read Parquet: ")


def test_typed_files_and_lines_are_read_together(tmp_path: Path) -> None:
    write(tmp_path / "a.avro", avro_file(SCHEMA, [{"a": 1}]))
    write(tmp_path / "b.json", b'{"a":2}\n')
    write(tmp_path / "c.parquet", parquet(1))
    assert read(tmp_path) == sorted([(0, b'{"a":1}'), *lines(b'{"a":2}\n'), (0, b'{"a":0}')])
