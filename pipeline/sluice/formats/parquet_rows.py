"""Parquet files -> a canonical line of JSON for each row. Row groups are parts that can be read by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from sluice.errors import SourceError
from sluice.formats.arrow_values import compile_rows
from sluice.formats.canonical_rows import BLOCK_BYTES, lines_of, numbered
from sluice.formats.csv_rows import FILE_START, RowStart
from sluice.formats.json_lines import Records

_BUFFER_BYTES = 1 << 20
"""Of each column, what is read of a row group at once."""

_MOST_ROWS = 4096
"""Rows that are converted at once: a column with a dictionary may have texts of any size in few bytes."""


def find_row_groups(file: BinaryIO, name: str, target: int) -> list[RowStart]:
    """Return the row groups at which a file can be split, about every `target` bytes; the first begins at 0.

    The line of a start is the number of its row, from 1.

    Raises:
        SourceError: the footer of the file is cut off or damaged.

    """
    with _reporting(name):
        starts = [FILE_START]
        for start in _starts(pq.ParquetFile(file).metadata):
            if start.offset - starts[-1].offset >= target:
                starts.append(start)
        return starts


def _starts(metadata: pq.FileMetaData) -> Iterator[RowStart]:
    row = 1
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        yield RowStart(_offset(group) if index else 0, row)
        row += group.num_rows


def _offset(group: pq.RowGroupMetaData) -> int:
    columns = (group.column(index) for index in range(group.num_columns))
    return min(
        (
            min(filter(None, (column.dictionary_page_offset, column.data_page_offset)), default=0)
            for column in columns
        ),
        default=0,
    )


def read_parquet(file: BinaryIO, name: str, start: int = 0, stop: int | None = None) -> Iterator[Records]:
    """Yield the rows of the row groups that begin at `start` or behind it, and before `stop`, as lines of JSON.

    The offset of a record is the number of its row in the file, from 0. Timestamps of the old type INT96 are read with
    microseconds: with nanoseconds they would hold the years 1677 to 2262 alone.

    Args:
        file: a file in which one can seek.
        name: of the file, for messages.
        start: see `find_row_groups`.
        stop: another start; None is the end of the file.

    Raises:
        SourceError: the file is cut off, damaged or encrypted, or a column has a type that is not supported.

    """
    with _reporting(name):
        parquet = pq.ParquetFile(
            file,
            pre_buffer=False,
            buffer_size=_BUFFER_BYTES,
            coerce_int96_timestamp_unit="us",
            page_checksum_verification=True,
            arrow_extensions_enabled=True,
        )
    for index, (offset, row) in enumerate(_starts(parquet.metadata)):
        if start <= offset and (stop is None or offset < stop):
            yield from numbered(_lines(parquet, index, name), row - 1)


def _lines(parquet: pq.ParquetFile, index: int, name: str) -> Iterator[bytes]:
    with _reporting(name, index):
        rows_of = compile_rows(parquet.schema_arrow)
        group = parquet.metadata.row_group(index)
        row_bytes = max(group.total_byte_size // max(group.num_rows, 1), 1)
        count, read = max(1, min(BLOCK_BYTES // row_bytes, _MOST_ROWS)), 0
        for batch in parquet.iter_batches(batch_size=count, row_groups=[index], use_threads=False):
            read += batch.num_rows
            yield from lines_of(rows_of(batch))
        if read != group.num_rows:
            message = f"expected {group.num_rows} rows, got {read}"
            raise ValueError(message)


@contextmanager
def _reporting(name: str, index: int | None = None) -> Iterator[None]:
    """Turn what pyarrow raises into one line: the file, the row group and the reason."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, OverflowError, UnicodeDecodeError) as error:
        place = "" if index is None else f" in row group {index + 1}"
        reason = " ".join(str(error).split()) or type(error).__name__
        message = f"{name}: cannot read Parquet{place}: {reason}"
        raise SourceError(message) from error
