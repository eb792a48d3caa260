from __future__ import annotations

import json
from datetime import UTC
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sluice.arrow.schema import arrow_field
from sluice.contracts import Property
from sluice.warehouses.json_text import decimal_text, json_text

from tests.warehouses.order_segments import plain

PART = Property(
    "part",
    "object",
    properties=(
        Property('a"b', "string"),
        Property("price", "decimal"),
        Property("ratio", "float"),
        Property("count", "integer"),
        Property("at", "timestamp"),
        Property("day", "date"),
        Property("paid", "boolean"),
        Property("tags", "array", items=Property("item", "string", required=True)),
        Property("inner", "object", properties=(Property("x", "string"),)),
    ),
)
LIST = Property("list", "array", items=PART)

texts = st.text(st.sampled_from('az"\\/{}[],:\0\x1f\x7f\n ž椅🐎\u2028'), max_size=6)
strings = st.none() | texts
parts = st.none() | st.fixed_dictionaries(
    {
        'a"b': strings,
        "price": st.none() | st.decimals(-(10**28), 10**28, places=9),
        "ratio": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "count": st.none() | st.integers(-(2**63), 2**63 - 1),
        "at": st.none() | st.datetimes(timezones=st.just(UTC)),
        "day": st.none() | st.dates(),
        "paid": st.none() | st.booleans(),
        "tags": st.none() | st.lists(texts, max_size=3),
        "inner": st.none() | st.fixed_dictionaries({"x": strings}),
    }
)


@given(st.lists(st.none() | st.lists(parts, max_size=3), max_size=3))
@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
def test_json_text_is_parsed_to_the_same_values(values: list[Any]) -> None:
    array = pa.array(values, arrow_field(LIST, where="test").type)
    made = json_text(array, LIST).to_pylist()
    assert len(made) == len(values)
    for text, value in zip(made, values, strict=True):
        assert plain(LIST, text) == value
        assert text is None or "\n" not in text


def test_numbers_are_plain_json() -> None:
    array = pa.array([{"price": Decimal("0.000000001"), "ratio": 1e300}, {}], pa.struct(
        [("price", pa.decimal128(38, 9)), ("ratio", pa.float64())]
    ))  # fmt: skip
    prop = Property("o", "object", properties=(Property("price", "decimal"), Property("ratio", "float")))
    assert json_text(array, prop).to_pylist() == [
        '{"price":0.000000001,"ratio":1e+300}',
        '{"price":null,"ratio":null}',
    ]


@pytest.mark.parametrize("text", ["0", "0.000000001", "-0.000000010", "87.66", "-12345678901234567890.5"])
def test_decimals_have_all_their_digits_and_no_exponent(text: str) -> None:
    (made,) = decimal_text(pa.array([Decimal(text)], pa.decimal128(38, 9))).to_pylist()
    assert made == f"{Decimal(text):.9f}"
    assert json.loads(made, parse_float=Decimal) == Decimal(text)
