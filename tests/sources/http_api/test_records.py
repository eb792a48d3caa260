"""The list of records is found where it is, and several lists that may be it are an error."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from sluice.errors import SourceError
from sluice.sources.http_api.documents import key_path
from sluice.sources.http_api.records import OBJECT, parse_body

ROWS = [{"id": 1}, {"id": 2}]


def parse(document: Any, items: str = "") -> Any:
    return parse_body(msgspec.json.encode(document), False, key_path(items, "items") if items else None, None)


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (ROWS, ""),
        ({"data": ROWS}, "data"),
        ({"shipments": ROWS}, "shipments"),
        ({"data": None, "shipments": ROWS}, "shipments"),
        ({"data": [], "items": ROWS}, "items"),
        ({"data": [1, 2], "logs": ROWS}, "logs"),
        ({"columns": [{"name": "a"}], "rows": ROWS}, "rows"),
        ({"data": ROWS, "included": [{"id": 3}]}, "data"),
        ({"data": ROWS, "users": [{"id": 3}]}, "data"),
        ({"errors": [], "result": ROWS}, "result"),
        ({"data": {"users": {"edges": ROWS}}}, "data.users.edges"),
        ({"hits": {"total": 2, "hits": ROWS}}, "hits.hits"),
        ({"_embedded": {"orders": ROWS}}, "_embedded.orders"),
        ({"d": {"results": ROWS}}, "d.results"),
        ({"response": {"docs.v1": ROWS}}, 'response."docs.v1"'),
    ],
)
def test_only_list_of_objects_has_the_records(document: Any, path: str) -> None:
    parsed = parse(document)
    assert [msgspec.json.decode(record) for record in parsed.records] == ROWS
    assert (parsed.place.kind, str(parsed.place.path)) == ("list", path)


@pytest.mark.parametrize(
    ("document", "names"),
    [
        ({"users": ROWS, "orders": ROWS}, "users, orders"),
        ({"items": ROWS, "data": ROWS, "users": ROWS}, "items, data"),
        ({"logs": ROWS, "events": ROWS}, "logs, events"),
        ({"data": {"a.b": ROWS, "c": ROWS}}, 'data."a.b", data.c'),
    ],
)
def test_several_lists_of_objects_are_an_error(document: Any, names: str) -> None:
    message = f"expected one list of records, got {names}; set #items="
    with pytest.raises(SourceError, match=f"(?m)^{re.escape(message)}$"):
        parse(document)
    assert len(parse(document, names.rpartition(", ")[2]).records) == 2


@pytest.mark.parametrize(
    "document",
    [
        {"data": None},
        {"data": []},
        {"shipments": [], "total": 0},
        {"features": [], "links": []},
        {"result": None},
    ],
)
def test_answer_without_records_leaves_their_place_open(document: Any) -> None:
    parsed = parse(document)
    assert (parsed.records, parsed.place) == ([], None)


@pytest.mark.parametrize(
    "document",
    [
        {"user_id": "U1"},
        {"user_id": "U1", "tags": ["a"], "roles": []},
        {"user_id": "U1", "total": 500, "complete": False},
        {"data": {"id": 1}},
        {"order": {"lines": {"rows": ROWS}}},
        "text",
        7,
    ],
)
def test_answer_without_a_list_is_one_record(document: Any) -> None:
    parsed = parse(document)
    assert [msgspec.json.decode(record) for record in parsed.records] == [document]
    assert parsed.place == OBJECT
