from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest
from sluice.arrow.from_json import to_table
from sluice.arrow.unknown_paths import count_unknown_paths
from sluice.contracts import Contract, Property
from sluice.elements import Segment

CONTRACT = Contract(
    "order",
    "orders",
    "order",
    "1",
    "shop",
    "",
    (
        Property("id", "integer"),
        Property("buyer", "object", properties=(Property("name", "string"),)),
        Property(
            "items", "array", items=Property("item", "object", properties=(Property("price", "decimal"),))
        ),
        Property("free", "json"),
    ),
    None,
)


def count(*lines: bytes) -> Counter[str]:
    segment = Segment("id", "order", "path", 0, lines)
    table, errors = to_table(CONTRACT, segment, ["0" * 32] * len(lines), datetime(2026, 1, 1, tzinfo=UTC))
    assert errors == []
    return count_unknown_paths(CONTRACT, table)


@pytest.mark.parametrize(
    ("line", "paths"),
    [
        (b'{"id":1,"buyer":{"name":"x"},"items":[{"price":1}],"free":{"a":1}}', []),
        (b'{"colour":"red"}', ["colour"]),
        (b'{"colour":null,"size":{"x":1,"y":2}}', ["colour", "size"]),
        (b'{"buyer":{"age":7,"name":"x"}}', ["buyer.age"]),
        (b'{"items":[{"price":1,"tax":2},{"price":1},{"tax":3,"off":1}]}', ["items[].off", "items[].tax"]),
        (b'{"big":1%b}' % (b"0" * 5000), ["big"]),
        (b'{"_repaired":{"rules":["literals"],"line":"x"}}', []),
        (b'{"":1,"a.b":2,"\\u00e9":3}', ["", "a.b", "\u00e9"]),
        (b'{"%b":1}' % (b"k" * 200), ["k" * 99 + "\u2026"]),
    ],
)
def test_paths_outside_the_contract_are_counted(line: bytes, paths: list[str]) -> None:
    assert count(line) == Counter(paths)


def test_each_row_counts_once_for_a_path() -> None:
    rows = count(b'{"a":1,"b":1}', b'{"id":1}', b'{"a":2}', b'{"items":[{"c":1},{"c":2}]}')
    assert rows == {"a": 2, "b": 1, "items[].c": 1}
