"""Batches of a source -> sample records: each as the line of JSON that a run would see, and as its values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from sluice.contracts import Contract
from sluice.elements import RecordBatch
from sluice.formats.joined_records import separate
from sluice.formats.normalize import Normalizer
from sluice.tooling.inference.csv_columns import infer_columns
from sluice.validation.value_checks import Number

_decode = msgspec.json.Decoder(float_hook=Number).decode
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class SampleRecord(NamedTuple):
    """A record that is a JSON object."""

    line: bytes
    """On one line."""
    values: Mapping[str, Any]
    """Its members, whose numbers are integers or `Number`."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What was read of a source to infer contracts from."""

    records: Sequence[SampleRecord]
    unreadable: int
    """How many records are no JSON object, or no row of their CSV file: a run rejects them."""
    columns: Contract | None
    """What the columns of CSV files are, if there are any: their names, aliases and types."""


def read_sample(batches: Iterable[RecordBatch]) -> Sample:
    """Return the records of `batches`; a row of CSV is the object that it becomes with types that suit its columns."""
    given = list(batches)
    columns = infer_columns(given)
    normalizer = Normalizer({} if columns is None else {columns.event_type: columns}, None)
    records: list[SampleRecord] = []
    unreadable = 0
    for batch in given:
        for line in normalizer.lines(batch)[0]:
            for part in _objects(line):
                if part is None:
                    unreadable += 1
                else:
                    records.append(part)
    return Sample(records, unreadable, columns)


def _objects(line: bytes) -> Iterator[SampleRecord | None]:
    """Yield the objects on a line; None for what is none."""
    for _, part in separate(line):
        try:
            part.decode()
            values = _decode(part)
        except _UNREADABLE:
            yield None
            continue
        yield SampleRecord(msgspec.json.format(part, indent=-1), values) if isinstance(values, dict) else None
