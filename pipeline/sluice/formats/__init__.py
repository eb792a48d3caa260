"""Formats: how the bytes of a file become records. One file each, chosen by how the file begins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from sluice.formats.joined_records import separate
from sluice.formats.json_array import is_document, read_document
from sluice.formats.json_lines import Records, read_lines

__all__ = ["FORMATS", "HEAD_BYTES", "Format", "Records", "detect_format", "read_records"]

HEAD_BYTES = 256 << 10
"""How much of a file is looked at to tell its format; a first line as long as this is rare."""


@dataclass(frozen=True, slots=True)
class Format:
    """How to read a file: `read(chunks, start, stop)` yields its records; a splittable one may be cut."""

    read: Callable[[Iterable[bytes], int, int | None], Iterator[Records]]
    splittable: bool


FORMATS = {
    "json_lines": Format(read_lines, splittable=True),
    "json_array": Format(read_document, splittable=False),
}


def read_records(content: bytes) -> list[bytes]:
    """Return the records of text that is in memory as a whole, each by itself; one that begins like an array is one."""
    name = "json_array" if content.startswith(b"[") else None
    form = FORMATS[name] if name else detect_format(content[:HEAD_BYTES], len(content) <= HEAD_BYTES)
    records = (record for block in form.read([content], 0, None) for record in block.records)
    return [part for record in records for _, part in separate(record)]


def detect_format(head: bytes, whole: bool) -> Format:
    """Return the format of a (decompressed) file that begins with `head`; `whole`: `head` is all of it."""
    return FORMATS["json_array" if is_document(head, whole) else "json_lines"]
