"""Standard input and named pipes are read once, in every format, and end as files do."""

from __future__ import annotations

import gzip
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sluice.errors import SourceError
from sluice.provenance import FileProvenance
from sluice.sources import open_source
from sluice.sources.files.connector import LocalFilesConnector
from sluice.sources.files.source import FileSource, plan_reading, read_item
from sluice.sources.files.streams import StreamSource, copy_stream

from tests.formats.avro_fixture import avro_file
from tests.sources.files.test_typed_files import SCHEMA, parquet

JSON = b'{"a":0}\n{"a":1}\n'
FORMS = {
    "lines": JSON,
    "array": b'[{"a":0},{"a":1}]',
    "gzip": gzip.compress(JSON),
    "avro": avro_file(SCHEMA, [{"a": 0}, {"a": 1}]),
    "parquet": parquet(2),
    "packed parquet": gzip.compress(parquet(2)),
}


@contextmanager
def pipe(path: Path, data: bytes) -> Iterator[str]:
    """A named pipe, into which a thread writes `data` once."""
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(data,))
    writer.start()
    yield str(path)
    writer.join()


@contextmanager
def standard_input(data: bytes) -> Iterator[None]:
    before = os.dup(0)
    reader, writer = os.pipe()
    os.write(writer, data)
    os.close(writer)
    os.dup2(reader, 0)
    try:
        yield
    finally:
        os.dup2(before, 0)
        os.close(before)
        os.close(reader)


def read(path: str) -> tuple[list[bytes], set[tuple[str, int | None]]]:
    """Return the records of a stream, and the names and sizes that they have as a source."""
    file = copy_stream(path)
    try:
        batches = [batch for item in plan_reading([file]) for batch in read_item(item)]
    finally:
        os.unlink(file.path)
    origins = [batch.provenance for batch in batches if isinstance(batch.provenance, FileProvenance)]
    return [record for batch in batches for record in batch.records], {(o.uri, o.size) for o in origins}


@pytest.mark.parametrize("form", FORMS)
def test_stream_is_read_as_a_file_of_its_name(tmp_path: Path, form: str) -> None:
    records = [b'{"a":0}', b'{"a":1}']
    with pipe(tmp_path / "pipe", FORMS[form]) as path:
        assert read(path) == (records, {(path, None)})
    with standard_input(FORMS[form]):
        assert read("-") == (records, {("-", None)})


def test_source_is_a_stream_or_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    paths = [str(path) for path in (tmp_path / "pipe", tmp_path / "file", tmp_path / "none", "-", "a\0")]
    assert [LocalFilesConnector.parse(path).is_stream for path in paths] == [True, False, False, True, False]
    assert isinstance(open_source("-"), StreamSource)
    assert isinstance(open_source(str(tmp_path / "pipe")), StreamSource)
    assert isinstance(open_source(str(tmp_path / "file")), FileSource)


def test_stream_that_breaks_is_an_error() -> None:
    before = os.dup(0)
    os.close(0)
    try:
        with pytest.raises(SourceError) as caught:
            copy_stream("-")
    finally:
        os.dup2(before, 0)
        os.close(before)
    assert str(caught.value) == "-: cannot read: Bad file descriptor"
