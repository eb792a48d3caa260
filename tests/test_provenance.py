from __future__ import annotations

from itertools import islice

import pytest
from sluice.provenance import (
    CsvDialect,
    CsvProvenance,
    FileProvenance,
    MessageProvenance,
    Origin,
    PartitionProvenance,
    Provenance,
    RedeliveryProvenance,
)

HEADERS = [{"a": "1"}, {"b": "2"}]
ORIGINS = [Origin("in/a.json", 5.0, offset=7), Origin("kafka://b/t", 6.0, partition=1, offset=9)]


@pytest.mark.parametrize(
    ("provenance", "origins", "position"),
    [
        (
            FileProvenance("in/a.json", 5.0, [7, 20]),
            [Origin("in/a.json", 5.0, offset=7), Origin("in/a.json", 5.0, offset=20)],
            7,
        ),
        (
            CsvProvenance("in/a.csv", 5.0, [7, 20], [2, 3], CsvDialect(("a",), ",", "utf-8")),
            [Origin("in/a.csv", 5.0, offset=7, line=2), Origin("in/a.csv", 5.0, offset=20, line=3)],
            7,
        ),
        (
            PartitionProvenance("kafka://b/t", 5.0, 3, [7, 9], [5.0, 6.0], HEADERS),
            [
                Origin("kafka://b/t", 5.0, partition=3, offset=7, attributes={"a": "1"}),
                Origin("kafka://b/t", 6.0, partition=3, offset=9, attributes={"b": "2"}),
            ],
            7,
        ),
        (
            PartitionProvenance("kafka://b/t", 5.0, 3, [7, 9], [5.0, 6.0]),
            [
                Origin("kafka://b/t", 5.0, partition=3, offset=7),
                Origin("kafka://b/t", 6.0, partition=3, offset=9),
            ],
            7,
        ),
        (
            MessageProvenance("pubsub://s", 5.0, ["m-1", "m-2"], [5.0, 6.0], HEADERS, position=42),
            [
                Origin("pubsub://s", 5.0, message_id="m-1", attributes={"a": "1"}),
                Origin("pubsub://s", 6.0, message_id="m-2", attributes={"b": "2"}),
            ],
            42,
        ),
        (RedeliveryProvenance(ORIGINS, None), ORIGINS, 7),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Provenance) else "",
)
def test_provenance_names_the_origin_of_each_record(
    provenance: Provenance, origins: list[Origin], position: int
) -> None:
    assert [provenance.origin(index) for index in range(2)] == origins
    assert list(islice(provenance.arrivals, 2)) == [origin.arrival for origin in origins]
    assert (provenance.uri, provenance.arrival, provenance.position) == (
        origins[0].uri,
        origins[0].arrival,
        position,
    )


@pytest.mark.parametrize(
    ("provenance", "export_time"),
    [
        (FileProvenance("in/a.json", 5.0, [7]), 5.0),
        (CsvProvenance("in/a.csv", 5.0, [7], [2], CsvDialect(("a",), ",", "utf-8")), 5.0),
        (PartitionProvenance("kafka://b/t", 5.0, 3, [7], [5.0]), 0.0),
        (MessageProvenance("pubsub://s", 5.0, ["m"], [5.0]), 0.0),
        (RedeliveryProvenance(ORIGINS, None), 5.0),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Provenance) else "",
)
def test_only_files_are_put_in_order_by_their_time(provenance: Provenance, export_time: float) -> None:
    assert provenance.export_time == export_time
