from __future__ import annotations

import pytest
from sluice.contracts.odcs import KeyPath
from sluice.contracts.physical_types import logical_type, number_type
from sluice.contracts.value_types import ValueType
from sluice.errors import ContractError

ROOM = "is stored as DECIMAL(38,9), which has room for more digits"


@pytest.mark.parametrize(
    ("physical", "value_type"),
    [
        (None, "float"),
        ("DOUBLE", "float"),
        ("double  precision", "float"),
        ("Float(3,2)", "float"),
        ("real", "float"),
        ("int", "integer"),
        ("INT4", "integer"),
        ("bigint", "integer"),
        ("serial", "integer"),
        ("numeric", "decimal"),
        ("Decimal", "decimal"),
        ("DECIMAL(38,9)", "decimal"),
        ("decimal( 38 , 9 )", "decimal"),
        ("NUMBER[38,9]", "decimal"),
    ],
)
def test_numbers_are_stored_as_their_physical_type_says(physical: str | None, value_type: ValueType) -> None:
    place = KeyPath("f")
    assert (number_type(place, physical), place.notes) == (value_type, [])


@pytest.mark.parametrize("physical", ["DECIMAL(10,2)", "numeric(5)", "number[29, 0]", "decimal(9,9)"])
def test_smaller_decimals_are_stored_in_the_decimal_of_every_warehouse(physical: str) -> None:
    place = KeyPath("f")
    assert number_type(place, physical) == "decimal"
    assert place.notes == [f"f: {physical} {ROOM}"]


@pytest.mark.parametrize("physical", ["DECIMAL(30)", "NUMERIC(38,0)", "decimal(12,10)", "BIGNUMERIC(76,38)"])
def test_decimals_that_no_column_holds_are_refused(physical: str) -> None:
    with pytest.raises(ContractError) as raised:
        number_type(KeyPath("f").key("physicalType"), physical)
    assert str(raised.value) == (
        f"f: physicalType: {physical} is not supported by Sluice, which stores exact numbers as DECIMAL(38,9); "
        "write this, if they fit, or a string"
    )


@pytest.mark.parametrize("physical", ["money", "Flag", "decimal(a)", "decimal(1,2,3)", "", "x" * 1000])
def test_numbers_of_an_unknown_type_are_stored_as_floats_and_noted(physical: str) -> None:
    place = KeyPath("f")
    assert number_type(place, physical) == "float"
    assert place.notes == [f"f: {physical} is not known: the numbers are stored as DOUBLE"]


@pytest.mark.parametrize(
    ("physical", "logical"),
    [
        ("VARCHAR(255)", "string"),
        ("character varying", "string"),
        ("TIMESTAMP WITH TIME ZONE", "timestamp"),
        ("timestamp(6)", "timestamp"),
        ("NUMBER(10, 2)", "number"),
        ("bigint", "integer"),
        ("BOOL", "boolean"),
        ("date", "date"),
        ("STRUCT<a: INT>", None),
        ("json", None),
        ("", None),
        (None, None),
    ],
)
def test_logical_type_is_told_from_a_physical_one_of_one_meaning(
    physical: str | None, logical: str | None
) -> None:
    assert logical_type(physical) == logical
