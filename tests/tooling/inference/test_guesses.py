from __future__ import annotations

from typing import Any

import msgspec
import pytest
from sluice.contracts import Property
from sluice.tooling.inference.guesses import describe, guess_properties
from sluice.tooling.inference.observations import Observed
from sluice.validation.value_checks import Number

decode = msgspec.json.Decoder(float_hook=Number).decode

UUID = "123e4567-e89b-12d3-a456-426614174000"


def observe(*values: str, name: str = "x") -> Observed:
    observed = Observed()
    for value in values:
        observed.add(decode(f'{{"{name}":{value}}}'))
    return observed


@pytest.mark.parametrize(
    ("values", "expected", "comment"),
    [
        (["1", "-2"], {"type": "integer"}, "2 integers, -2 to 1; in all 2"),
        (["1", "1.0"], {"type": "decimal"}, "2 numbers, exact, with at most 1 digit after the point; in all 2"),
        (["19.90"], {"type": "decimal"}, "1 number, exact, with at most 2 digits after the point; in all 1"),
        (["9223372036854775808"], {"type": "decimal"}, "1 number, exact, with at most 0 digits after the "
         "point; in all 1"),
        (["1e3"], {"type": "float"}, "1 number, some with an exponent or more than 9 digits after the point; in all 1"),
        (["0.30000000000000004", "1"], {"type": "float"}, "2 numbers, some with an exponent or more than 9 digits "
         "after the point; in all 2"),
        (["true", "null"], {"type": "boolean", "required": False}, "1 boolean; absent or null in 1 of 2"),
        ([f'"{UUID}"'], {"type": "uuid"}, "1 uuid; in all 1"),
        ([f'"{UUID}"', '"-"'], {"type": "string"}, "2 strings, 2 different; in all 2"),
        (['"2025-02-08T13:09:00Z"'], {"type": "timestamp"}, "1 timestamp; in all 1"),
        (['"2025-02-08"'], {"type": "date"}, "1 date; in all 1"),
        (['"2025-02-30"'], {"type": "string"}, "1 string, 1 different; in all 1"),
        (['"b"', '"a"'] * 10, {"type": "string", "enum": ("a", "b")}, "20 strings, 2 different, each seen more than "
         "once; in all 20"),
        (['"b"', '"a"'] * 9, {"type": "string"}, "18 strings, 2 different; in all 18"),
        (['"a"'] * 39 + ['"b"'], {"type": "string"}, "40 strings, 2 different; in all 40"),
        (['"a"'] * 40, {"type": "string"}, "40 strings, 1 different; in all 40"),
        (["{}"], {"type": "json"}, "1 object of no known shape; in all 1"),
        ([f'{{"k{number}":1}}' for number in range(101)], {"type": "json"}, "101 objects with 101 different keys; in "
         "all 101"),
    ],
)  # fmt: skip
def test_guess_and_what_it_rests_on(values: list[str], expected: dict[str, Any], comment: str) -> None:
    properties, comments, left_out = guess_properties(observe(*values))
    description = {"name": "x", "required": True, "description": "X."}
    assert (properties, comments, left_out) == (
        (Property(**{**description, **expected}),),
        {("x",): comment},
        {},
    )


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (["null", "null"], "null in all 2 records that have it, so its type is not known"),
        (["1", '"a"', '"b"'], "values of several types: 1 number, 2 strings"),
        (["[]", "[]"], "2 arrays, all empty, so the type of their items is not known"),
        (["[1,null]"], "1 array with 1 items that are null"),
        (['[1,"a"]'], "1 array with items that are values of several types: 1 number, 1 string"),
    ],
)
def test_what_no_type_holds_is_left_out(values: list[str], reason: str) -> None:
    assert guess_properties(observe(*values)) == ((), {}, {("x",): reason})


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("_id", "names with an underscore at their beginning are reserved for Sluice"),
        ("Event_Date", "DuckDB has its own column of this name"),
        ("[]", "'[]' stands for the items of an array; rename it"),
    ],
)
def test_names_that_no_property_has_are_left_out(name: str, reason: str) -> None:
    assert guess_properties(observe("1", name=name))[2] == {(name,): reason}


def test_names_that_warehouses_cannot_tell_apart_are_left_out() -> None:
    observed = Observed()
    observed.add({"Name": "a", "name": "b", "inner": {"a": 1, "A": 2}})
    properties, _, left_out = guess_properties(observed)
    assert [prop.name for prop in properties] == ["Name", "inner"]
    assert left_out == {
        ("name",): "warehouses cannot tell its name from Name",
        ("inner", "A"): "warehouses cannot tell its name from a",
    }


def test_a_member_is_required_by_its_object_not_by_the_event() -> None:
    observed = observe('{"a":1,"b":[{"c":"x"}]}', "null", '{"a":2}')
    (outer,), comments, _ = guess_properties(observed)
    assert (outer.required, outer.properties[0].required, outer.properties[1].required) == (
        False,
        True,
        False,
    )
    assert comments == {
        ("x",): "2 objects; absent or null in 1 of 3",
        ("x", "a"): "2 integers, 1 to 2; in all 2",
        ("x", "b"): "1 array; absent or null in 1 of 2",
        ("x", "b", "[]"): "1 object",
        ("x", "b", "[]", "c"): "1 string, 1 different; in all 1",
    }


@pytest.mark.parametrize(
    ("values", "bounds"),
    [
        (["1", "7"], (1, 7)),
        (["1.5", "7.25"], (1.5, 7.25)),
        (["1.0", "7.25"], (1, 7.25)),
        (
            ["-12345678901234567890.5", "12345678901234567890.5"],
            (-12345678901234567891, 12345678901234567891),
        ),
        (["1e3"], (None, None)),
    ],
)
def test_bounds_are_exact_or_wider(values: list[str], bounds: tuple[float | None, float | None]) -> None:
    (prop,), _, _ = guess_properties(observe(*values), bounds=True)
    assert (prop.minimum, prop.maximum) == bounds


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("unit_price", "Unit price."),
        ("unitPrice", "Unit price."),
        ("a.b-c", "A b c."),
        ("@", "@."),
        ("id", "Id."),
    ],
)
def test_description_is_a_sentence(name: str, text: str) -> None:
    assert describe(name) == text
