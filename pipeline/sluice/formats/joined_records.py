"""Records that stand on one line, or have separators around them -> each record by itself.

Joined files, Amazon Data Firehose and JSON text sequences (RFC 7464, RFC 8142) write objects with nothing, blanks, a
carriage return, a comma, NUL, a record separator or a byte order mark between them. A line is examined only if it is
no JSON object, so ordinary lines cost nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from sluice.elements import RecordBatch
from sluice.formats.json_array import read_document
from sluice.formats.json_recovery import BETWEEN, BLANK, MAX_ELEMENT_BYTES
from sluice.formats.json_syntax import is_json
from sluice.provenance import FileProvenance

_separated_braces = re.compile(rb'\}[^{}":]*+\{').search
"""A brace that closes an object, and one that opens another, with no more than separators or stray text in between."""


def separate(record: bytes) -> Sequence[tuple[int, bytes]]:
    """Return the records in a line that is no JSON object, and where each begins in it; else the line itself.

    A line is separated only if that leaves no doubt: it has two JSON objects or more, or one JSON object and other
    text that begins like an object, or one JSON object and separators other than NUL, which a crash may have left.
    """
    whole = [(0, record)]
    if _is_single(record):
        return whole
    if record.lstrip(BETWEEN)[:1] not in (b"{", b"["):
        return whole
    if record.lstrip(BLANK)[:1] in (b"{", b"[") and is_json(record):
        return whole
    parts = [
        part for block in read_document([record]) for part in zip(block.offsets, block.records, strict=True)
    ]
    objects = sum(part.startswith(b"{") and is_json(part) for _, part in parts)
    similar = all(part.startswith(b"{") for _, part in parts)
    return parts if objects > 1 or (objects and similar and b"\0" not in record) else whole


def _is_single(record: bytes) -> bool:
    """Tell of most malformed lines, by what no two objects can do without, that they are one record as they are."""
    return (
        record.startswith(b"{")
        and record[-1] not in BETWEEN
        and b"[" not in record
        and b"\n" not in record
        and len(record) <= MAX_ELEMENT_BYTES
        and not _separated_braces(record)
    )


def separate_records(batch: RecordBatch, indexes: Iterable[int]) -> RecordBatch | None:
    """Return the batch with the records at `indexes` separated; None if they are single records already.

    Only lines of files are separated: a message of a broker is one record, which is acknowledged as one.
    """
    provenance = batch.provenance
    if type(provenance) is not FileProvenance:
        return None
    parts = {
        index: found
        for index in indexes
        if len(found := separate(batch.records[index])) > 1 or found[0][1] != batch.records[index]
    }
    if not parts:
        return None
    records: list[bytes] = []
    offsets: list[int] = []
    for index, record in enumerate(batch.records):
        for at, part in parts.get(index, ((0, record),)):
            records.append(part)
            offsets.append(provenance.offsets[index] + at)
    return replace(batch, records=records, provenance=replace(provenance, offsets=offsets))
