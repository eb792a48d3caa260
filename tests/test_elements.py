"""What passes between the steps of the graph: how much memory a batch takes."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from sluice.elements import ATTRIBUTE_BYTES, RECORD_BYTES, RecordBatch
from sluice.provenance import FileProvenance, MessageProvenance, PartitionProvenance, Provenance

ATTRIBUTES: list[tuple[Mapping[str, str], int]] = [
    ({}, 0),
    ({"kafka.key": "k" * 500_000}, 500_009 + ATTRIBUTE_BYTES),
    ({"é": "€"}, 2 + 3 + ATTRIBUTE_BYTES),
    ({f"h{number}": "" for number in range(100, 200)}, 400 + 100 * ATTRIBUTE_BYTES),
]


def provenances(attributes: Mapping[str, str]) -> list[Provenance]:
    """Return the origins of two records, the second without attributes."""
    given = [attributes, {}]
    return [
        PartitionProvenance("kafka://t", 1.0, 0, [1, 2], [1.0, 1.0], given),
        MessageProvenance("pubsub://s", 1.0, ["1", "2"], [1.0, 1.0], given),
    ]


@pytest.mark.parametrize(("attributes", "expected"), ATTRIBUTES)
def test_footprint_counts_records_attributes_and_overhead(
    attributes: Mapping[str, str], expected: int
) -> None:
    for provenance in provenances(attributes):
        assert RecordBatch([b"{}", b""], provenance).footprint == 2 + 2 * RECORD_BYTES + expected


def test_footprint_of_lines_of_a_file_counts_their_overhead() -> None:
    assert RecordBatch([b"abc"], FileProvenance("f", 1.0, [0])).footprint == 3 + RECORD_BYTES
