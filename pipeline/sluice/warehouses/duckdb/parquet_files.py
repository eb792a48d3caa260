"""Parquet files of the embedded warehouse: written whole, synced, and seen only when they are complete."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sluice.arrow.schema import VALUE_TYPE
from sluice.contracts import EVENT_ID_COLUMN


def parquet(table: pa.Table) -> pa.Buffer:
    """Write with a dictionary for texts only: numbers, times and identities differ in each row."""
    texts = [
        field.name
        for field in table.schema
        if field.type == pa.string() and VALUE_TYPE not in (field.metadata or {})
    ]
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        compression="zstd",
        compression_level=1,
        use_dictionary=[name for name in texts if name != EVENT_ID_COLUMN],
    )
    return sink.getvalue()


def write_atomically(path: Path, data: bytes | pa.Buffer) -> None:
    """Write and sync a file under a hidden name, then give it its own; half of it is never seen.

    The hidden name ends in `.tmp`: DuckDB's `*.parquet` matches names that begin with a dot.
    """
    if not path.parent.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _sync_folder(path.parent.parent)
    hidden = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with open(hidden, "xb", buffering=0) as file:
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]
            os.fsync(file.fileno())
        os.replace(hidden, path)
    except OSError:
        hidden.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
