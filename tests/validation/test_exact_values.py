"""Limits that msgspec has no words for: the decoder suspects what breaks them, and the explainer says so."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from sluice.contracts import Contract, Property
from sluice.elements import Violation
from sluice.validation.decoder import compile_decoder
from sluice.validation.exact_values import comparable, is_multiple
from sluice.validation.explainer import compile_explainer
from sluice.validation.value_checks import Number

START, END = datetime(2020, 1, 1, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC)
ITEM = Property("item", "string", required=True)
SHAPED = Property("p", "json", members=("a", "b"), min_length=2, max_length=3)

CASES: list[tuple[Property, list[str], list[tuple[str, str, str, str]]]] = [
    (
        Property("p", "date", earliest=date(2020, 1, 1), latest=date(2021, 1, 1)),
        ['"2020-01-01"', '"2021-01-01"', "null"],
        [
            ('"2019-12-31"', "range", "2020-01-01 to 2021-01-01", "p"),
            ('"2021-01-02"', "range", "2020-01-01 to 2021-01-01", "p"),
        ],
    ),
    (
        Property("p", "timestamp", earliest=START, latest=END),
        ['"2020-01-01T00:00:00"', '"2021-01-01T01:00:00+01:00"'],
        [
            (
                '"2021-01-01T00:00:00.000001Z"',
                "range",
                "2020-01-01T00:00:00+00:00 to 2021-01-01T00:00:00+00:00",
                "p",
            )
        ],
    ),
    (
        Property("p", "timestamp", earliest=START),
        ['"9000-01-01T00:00:00Z"'],
        [('"2020-01-01T00:59:59+01:00"', "range", "at least 2020-01-01T00:00:00+00:00", "p")],
    ),
    (
        Property("p", "integer", multiple_of=Decimal(5)),
        ["0", "-10", "null"],
        [("7", "range", "a multiple of 5", "p")],
    ),
    (
        Property("p", "decimal", multiple_of=Decimal("0.05")),
        ["0.1500", "-3", "1e2", "null"],
        [("0.151", "range", "a multiple of 0.05", "p"), ("1e-2", "range", "a multiple of 0.05", "p")],
    ),
    (
        Property("p", "array", unique_items=True, items=ITEM),
        ["[]", '["a"]', '["a","b"]'],
        [('["a","b","\\u0061"]', "range", "items that differ", "p")],
    ),
    (
        Property("p", "array", unique_items=True, items=Property("item", "decimal")),
        ["[1,2]", "[0.1,null]"],
        [("[1.0,1]", "range", "items that differ", "p"), ("[1e1,10]", "range", "items that differ", "p")],
    ),
    (
        SHAPED,
        ['{"a":1,"b":null}', '{"a":1,"b":2,"c":3}'],
        [
            ('{"a":1,"c":2}', "missing", "a value", "p.b"),
            ('{"a":1,"b":2,"c":3,"d":4}', "length", "2 to 3 members", "p"),
        ],
    ),
]


@pytest.mark.parametrize(("prop", "valid", "invalid"), CASES, ids=lambda case: getattr(case, "type", ""))
def test_decoder_and_explainer_agree(
    prop: Property, valid: list[str], invalid: list[tuple[str, str, str, str]]
) -> None:
    contracts = {"sale": Contract("sale", "sales", "sale", "1", "shop", "", (prop,), None)}
    decoder, explainer = compile_decoder(contracts, None), compile_explainer(contracts, None)
    for text in valid:
        event = decoder.decode(b'{"p":%s}' % text.encode())
        assert explainer.explain(b'{"p":%s}' % text.encode()).violations == ()
        # What is in an unusual spelling may be a suspect, too.
        suspects = decoder.suspects[type(event)]([event]) if type(event) in decoder.suspects else []
        assert suspects == [] or "e" in text or prop.items is not None
    for text, code, expected, path in invalid:
        line = b'{"p":%s}' % text.encode()
        (violation,) = explainer.explain(line).violations
        assert (violation.code, violation.expected, violation.path) == (code, expected, path)
        assert isinstance(violation, Violation)
        if code != "length":  # which msgspec checks
            event = decoder.decode(line)
            assert decoder.suspects[type(event)]([event]) == [0]


@pytest.mark.parametrize(
    ("first", "second", "equal"),
    [
        (1, Number("1.0"), True),
        (1, True, False),
        (Number("1e2"), 100, True),
        ("1", 1, False),
        ({"a": 1, "b": [2]}, {"b": [Number("2.00")], "a": 1}, True),
        ([], {}, False),
        (None, False, False),
        (Number("1e99999999999999999999"), Number("1e99999999999999999999"), True),
    ],
)
def test_values_are_compared_as_json(first: Any, second: Any, equal: bool) -> None:
    assert (comparable(first) == comparable(second)) is equal


def test_multiple_is_exact() -> None:
    assert is_multiple(Decimal("0.3"), Decimal("0.1"))
    assert not is_multiple(Decimal("12345678901234567890123456789.1"), Decimal("0.2"))
    assert is_multiple(Decimal(7), None)
