"""Files of events, and the records that the file source reads from them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sluice.errors import SourceError
from sluice.sources.files.listing import find_files
from sluice.sources.files.source import plan_reading, read_item

from tests.origins import offsets_of

MODIFIED = 1_739_020_000.0
MIB = 1 << 20
EVENT = b'{"event_type":"order","n":%d}'
LINES = b"\n".join(EVENT % number for number in range(200_000)) + b"\n"
ARRAY = b"[" + b",\n".join(EVENT % number for number in range(3)) + b"]\n"
ARRAY_RECORDS = [(1 + 30 * number, EVENT % number) for number in range(3)]


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (MODIFIED, MODIFIED))
    return path


def read(source: Path | str) -> list[tuple[int, bytes]]:
    """Return offset and bytes of each record, in the order of the file."""
    batches = [batch for item in plan_reading(find_files(str(source))) for batch in read_item(item)]
    return sorted((pair for batch in batches for pair in zip(offsets_of(batch), batch.records, strict=True)))


def lines(data: bytes) -> list[tuple[int, bytes]]:
    pairs, at = [], 0
    for line in data.split(b"\n"):
        if line.strip(b" \t\r"):
            pairs.append((at, line))
        at += len(line) + 1
    return pairs


def error_of(path: Path) -> str:
    with pytest.raises(SourceError) as caught:
        read(path)
    return str(caught.value)
