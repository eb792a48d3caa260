from __future__ import annotations

import json
from typing import Any

import pytest
from sluice.tooling.inference.records import SampleRecord
from sluice.tooling.inference.routing import Route, find_routes


def records(*values: dict[str, Any]) -> list[SampleRecord]:
    return [SampleRecord(json.dumps(value).encode(), value) for value in values]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([{"type": "a", "x": 1}, {"type": "b", "y": 1}], [Route("type", ("a", "b"), usual=True)]),
        ([{"state": "a", "x": 1}, {"state": "b"}], [Route("state", ("a", "b"), usual=False)]),
        ([{"type": "a", "x": 1}, {"type": "b", "x": 2}], []),  # they do not differ
        ([{"type": "a b", "x": 1}, {"type": "b", "y": 1}], []),  # no event type
        ([{"type": "all", "x": 1}, {"type": "b", "y": 1}], []),  # reserved
        ([{"type": "a-b", "x": 1}, {"type": "a_b", "y": 1}], []),  # one folder
        ([{"type": "a", "x": 1}, {"y": 1}], []),  # not every record has it
        ([{"type": 1, "x": 1}, {"type": 2, "y": 1}], []),
        (
            [{"state": "s", "type": "a", "x": 1}, {"state": "t", "type": "b"}],
            [Route("type", ("a", "b"), usual=True), Route("state", ("s", "t"), usual=False)],
        ),
    ],
)
def test_properties_that_tell_types_apart(values: list[dict[str, Any]], expected: list[Route]) -> None:
    assert find_routes(records(*values) * 3) == expected


def test_a_property_with_a_value_for_every_record_tells_none() -> None:
    assert find_routes(records({"type": "a", "x": 1}, {"type": "b", "y": 1})) == []
    assert find_routes([]) == []
