"""Find the daily files of the audit, locally or in a bucket, and read the header of each.

Hadoop's file systems are used, so that a folder may be a path, or an address such as `s3a://bucket/folder`.
"""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from pyspark.sql import SparkSession

from spark.audit.names import load_date_of, own_file_name

_HEADER_BYTES = 1 << 20
_GZIP = b"\x1f\x8b"
_ANY_GZIP = 31
"""Argument of zlib: a stream with the header of gzip."""


@dataclass(frozen=True)
class DailyFile:
    """A file of one day; `columns` are the names in its header, none if the file is empty."""

    address: str
    name: str
    load_date: date
    columns: tuple[str, ...]
    is_header_taken: bool
    """Whether Spark leaves the header out. It takes an empty line before it for the header, if that ends with CR LF."""

    @property
    def file_name(self) -> str:
        """What the audit calls records of the file that name no file: its name without `events_<date>_` and `.gz`."""
        return own_file_name(self.name)


def find_files(spark: SparkSession, folder: str, kind: str) -> list[DailyFile]:
    """Return the files of `kind`, events or transactions, that are directly in `folder`, in order of name."""
    hadoop: Any = spark.sparkContext._jvm.org.apache.hadoop.fs
    path = hadoop.Path(folder)
    system = path.getFileSystem(spark.sparkContext._jsc.hadoopConfiguration())
    found = []
    for status in system.listStatus(path):
        name = status.getPath().getName()
        day = load_date_of(name)
        if status.isFile() and day is not None and name.startswith(f"{kind}_"):
            columns, is_taken = _read_header(system, status) if status.getLen() else ((), True)
            found.append(DailyFile(status.getPath().toString(), name, day, columns, is_taken))
    return sorted(found, key=lambda file: file.name)


def _read_header(system: Any, status: Any) -> tuple[tuple[str, ...], bool]:
    stream = system.open(status.getPath())
    try:
        head = bytes(stream.readNBytes(_HEADER_BYTES))
    finally:
        stream.close()
    if head.startswith(_GZIP):
        head = zlib.decompressobj(_ANY_GZIP).decompress(head, _HEADER_BYTES)
    return parse_header(head)


def parse_header(head: bytes) -> tuple[tuple[str, ...], bool]:
    """Return the names in the first row that is not empty of a CSV file, and whether Spark takes it for the header.

    The file begins with `head`.
    """
    text = head.decode("utf-8-sig", "replace")
    rows: Iterator[Sequence[str]] = csv.reader(io.StringIO(text, newline=""))
    names = tuple(name.strip() for name in next((row for row in rows if row), []))
    return names, "\r" not in text[: len(text) - len(text.lstrip("\r\n"))]
