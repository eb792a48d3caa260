"""What can be read only once, standard input and named pipes, as a source."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam

from sluice.addresses import STANDARD_INPUT
from sluice.elements import RecordBatch
from sluice.sources.files.found_file import FoundFile
from sluice.sources.files.listing import reporting
from sluice.sources.files.pieces import BLOCK_BYTES
from sluice.sources.files.source import read_plan, sample_files


def copy_stream(path: str) -> FoundFile:
    """Read a stream to its end, into a file below `TMPDIR`, and return that under the name of the stream.

    So it is read once, whatever runs again; its records are read by all workers; and Parquet, of which the end is read
    first, can be read as well. The caller removes the file.

    Raises:
        SourceError: the stream cannot be read, or the copy cannot be written.

    """
    with (
        reporting(path, "read"),
        # First: a file would take the place of a standard input that is closed.
        open(os.dup(0) if path == STANDARD_INPUT else path, "rb", buffering=0) as stream,
        tempfile.NamedTemporaryFile(prefix="sluice-stream-", delete=False) as copy,
    ):
        shutil.copyfileobj(stream, copy, BLOCK_BYTES)
        copy.flush()
        status = os.fstat(copy.fileno())
        return FoundFile(path, status.st_size, status.st_mtime, status.st_ino, copy.name)


class StreamSource(beam.PTransform):
    """PBegin -> RecordBatch: the records of standard input or a named pipe, as those of a file.

    The launcher reads it before the graph runs, into the folder of the run. A record arrives when it is read.
    """

    bounded = True

    def __init__(self, path: str) -> None:
        """Take `-`, or the path of a pipe."""
        super().__init__()
        self.url = path
        self._copy: FoundFile | None = None

    def check(self) -> None:
        """Read the stream to its end, once.

        Raises:
            SourceError: it cannot be read.

        """
        if self._copy is None:
            self._copy = copy_stream(self.url)

    def sample(self, number: int) -> Iterator[RecordBatch]:
        """Yield at most `number` records. What was not read before is read to its end, and gone."""
        copied = self._copy is not None
        self.check()
        assert self._copy is not None  # noqa: S101  of `check`
        try:
            yield from sample_files([self._copy], number)
        finally:
            if not copied:
                Path(self._copy.path).unlink()
                self._copy = None

    def size(self) -> int | None:
        """Return the bytes that were read, which may be packed."""
        return None

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[RecordBatch]:
        """Distribute the parts of what was read over the workers of this machine."""
        self.check()
        files: list[Any] = [[self._copy]]
        return begin | "Name copies" >> beam.Create(files) | read_plan()
