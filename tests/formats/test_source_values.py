"""Properties that are filled from the address of a record's source."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sluice.contracts import Contract, Property
from sluice.contracts.model import FromSource
from sluice.elements import RecordBatch
from sluice.formats.normalize import Normalizer
from sluice.formats.source_values import SourceValues
from sluice.provenance import (
    CsvDialect,
    CsvProvenance,
    FileProvenance,
    Origin,
    RedeliveryOrigin,
    RedeliveryProvenance,
)

DAY = r"events_(?P<day>[0-9]{4}-?[0-9]{2}-?[0-9]{2})[^/]*$"
PROPERTIES = (
    Property("id", "string"),
    Property("day", "date", from_source=FromSource(pattern=DAY)),
)


def contract(*properties: Property) -> Contract:
    return Contract(
        event_type="event",
        table="events",
        id="event",
        version="1.0.0",
        domain="audit",
        description="",
        properties=properties or PROPERTIES,
        event_time=None,
    )


@pytest.mark.parametrize(
    ("uri", "members"),
    [
        ("/data/events_2025-10-24.csv", b'"day":"2025-10-24"'),
        ("s3://bucket/a/events_20251024_orders.csv.gz", b'"day":"2025-10-24"'),
        ("/events_2024-01-01/events_2025-10-24.csv", b'"day":"2025-10-24"'),
        ("/events_2024-01-01/other.csv", b""),
        ("/data/events_20251399.csv", b'"day":"2025-13-99"'),
        ("", b""),
    ],
)
def test_day_is_found_in_the_name_of_the_file(uri: str, members: bytes) -> None:
    assert SourceValues(contract()).members(uri) == members


@pytest.mark.parametrize(
    ("prop", "uri", "members"),
    [
        (
            Property("dt", "date", from_source=FromSource(folder_key="dt")),
            "/a/dt=2025-01-02/x",
            '"2025-01-02"',
        ),
        (
            Property("dt", "date", from_source=FromSource(folder_key="dt")),
            "/dt=1/dt=20250102/x",
            '"2025-01-02"',
        ),
        (Property("dt", "string", from_source=FromSource(folder_key="dt")), "/dt=a%2Fb%22/x", '"a/b\\""'),
        (Property("dt", "string", from_source=FromSource(folder_key="dt")), "/xdt=1/dt=/dt", None),
        (Property("dt", "integer", from_source=FromSource(folder_key="n")), "/n=007/x", "7"),
        (Property("dt", "integer", from_source=FromSource(folder_key="n")), "/n=x7/x", '"x7"'),
        (
            Property("dt", "timestamp", from_source=FromSource(folder_key="n")),
            "/n=20250102/x",
            '"2025-01-02T00:00:00Z"',
        ),
        (Property("dt", "string", from_source=FromSource()), "gs://b/ü.csv", '"gs://b/ü.csv"'),
    ],
)
def test_value_has_the_type_of_its_property(prop: Property, uri: str, members: str | None) -> None:
    expected = b"" if members is None else f'"dt":{members}'.encode()
    assert SourceValues(contract(prop)).members(uri) == expected


@pytest.mark.parametrize(
    ("line", "filled"),
    [
        (b'{"id":"1"}', b'{"id":"1","day":"2025-10-24"}'),
        (b' {"id":"1" } ', b'{"id":"1","day":"2025-10-24"}'),
        (b"{}", b'{"day":"2025-10-24"}'),
        (b'{"day":"2024-01-01","id":1.50}', b'{"id":1.50,"day":"2025-10-24"}'),
        (b'{"day":{"a":[1]}}', b'{"day":"2025-10-24"}'),
        (b'{"id":"\\"day\\""}', b'{"id":"\\"day\\"","day":"2025-10-24"}'),
        (b'{"a":{"day":1}}', b'{"a":{"day":1},"day":"2025-10-24"}'),
        (b'["day"]', b'["day"]'),
        (b'{"day"', b'{"day"'),
        (b"", b""),
    ],
)
def test_source_replaces_what_the_record_says(line: bytes, filled: bytes) -> None:
    values = SourceValues(contract())
    assert values.fill_line(line, "/events_2025-10-24.csv") == filled
    assert values.fill([line], FileProvenance("/events_20251024.csv", 0, [0])) == [filled]


def test_record_of_another_source_is_not_filled() -> None:
    assert SourceValues(contract()).fill_line(b'{"id":"1"}', "/other.csv") == b'{"id":"1"}'


def test_redelivered_record_is_filled_from_its_first_source() -> None:
    time = datetime(2025, 1, 1, tzinfo=UTC)
    origins = [
        Origin(f"/events_2025-10-{day}.csv", 0, redelivery=RedeliveryOrigin("a", 2, time)) for day in (24, 25)
    ]
    lines = SourceValues(contract()).fill([b"{}", b"{}"], RedeliveryProvenance(origins, None))
    assert lines == [b'{"day":"2025-10-24"}', b'{"day":"2025-10-25"}']


def test_column_of_the_same_name_has_no_effect() -> None:
    header = ("Day", "id", "day", "day")
    batch = RecordBatch(
        [b"x,1,y,z"], CsvProvenance("/events_2025-10-24.csv", 0, [0], [2], CsvDialect(header, ",", ""))
    )
    lines, violations = Normalizer({"event": contract()}, None).lines(batch)
    assert lines == [b'{"Day":"x","id":"1","day_2":"z","day":"2025-10-24"}']
    assert violations == {}


def test_repaired_line_is_filled() -> None:
    repairing = replace(contract(), repair=(("trailing_commas", None),))
    batch = RecordBatch([b'{"id":"1",}'], FileProvenance("/events_2025-10-24.csv", 0, [0]))
    line = Normalizer({"event": repairing}, None).repaired(batch, 0)
    assert line is not None
    assert line.endswith(b',"day":"2025-10-24"}')
