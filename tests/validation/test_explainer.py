from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sluice.contracts import Contract, Property, load_contracts
from sluice.elements import Violation
from sluice.validation.explainer import compile_explainer, violation_code

EVENTS = load_contracts(str(Path(__file__).parents[2] / "schemas" / "backend_events"))
EXPLAIN = compile_explainer(EVENTS, "event_type").explain
MEMBERS = {
    "event_type": '"inventory"',
    "inventory_id": '"00000001-0000-4000-8000-000000000001"',
    "product_id": '"00000003-0000-4000-8000-000000000003"',
    "warehouse_id": '"00000004-0000-4000-8000-000000000004"',
    "quantity_change": "-2",
    "reason": '"sale"',
    "timestamp": '"2025-02-08T13:09:00+01:00"',
}


def inventory(**changes: str | None) -> bytes:
    members = {name: text for name, text in {**MEMBERS, **changes}.items() if text is not None}
    return ("{" + ",".join(f'"{name}":{text}' for name, text in members.items()) + "}").encode()


def test_valid_record_has_no_violation() -> None:
    explanation = EXPLAIN(inventory())
    assert explanation.violations == ()
    assert (explanation.event_type, explanation.contract) == ("inventory", EVENTS["inventory"])
    assert explanation.event_time == datetime(2025, 2, 8, 12, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"", "an empty record"),
        (b" \t", "an empty record"),
        (b'{"a":"\\ud800"}', "\\ud800, a surrogate without its pair (byte 6)"),
        (b'{"a":"\\\\\\uDBFFx"}', "\\uDBFF, a surrogate without its pair (byte 8)"),
        (b'{"a":"\\\\ud800', "Input data was truncated"),
        (b"{", "Input data was truncated"),
        (b"[", "a JSON array that is not closed: its file ends between two elements"),
        (b"oops", "invalid character (byte 0)"),
        (b'{"a":nul}', "invalid character (byte 9)"),
        (b'{"a":01}', "invalid number (byte 6)"),
        (b"{} {}", "trailing characters (byte 4)"),
        (b'{"a":"\xff"}', "byte 0xff, which is not UTF-8 (byte 6)"),
        (b'{"\\udc00":1}', "invalid utf-16 surrogate pair (byte 8)"),
        (b"[" * 100_000, "nesting deeper than 256"),
        (b"[" * 257 + b"]" * 257, "nesting deeper than 256"),
        (b"\xef\xbb\xbf{}", "invalid character (byte 0)"),
    ],
)
def test_record_that_is_no_json_is_explained_by_its_place(record: bytes, reason: str) -> None:
    explanation = EXPLAIN(record)
    assert explanation.violations == (Violation("not_json", "", "one JSON value in UTF-8", reason),)
    assert (explanation.event_type, explanation.contract, explanation.event_time) == (None, None, None)


@pytest.mark.parametrize(
    "text", ["[]", '"é"', "1.50", "null", "true", "[1e999]", "123456789012345678901234567890"]
)
def test_record_that_is_no_object_is_explained(text: str) -> None:
    assert EXPLAIN(text.encode()).violations == (Violation("not_an_object", "", "an object", text),)


@pytest.mark.parametrize(
    ("tag", "got"),
    [(None, "nothing"), ("null", "null"), ('"oops"', '"oops"'), ("1.0", "1.0"), ('["order"]', '["order"]')],
)
def test_record_of_an_unknown_type_is_explained(tag: str | None, got: str) -> None:
    explanation = EXPLAIN(inventory(event_type=tag))
    expected = "one of inventory, order, user_activity"
    assert explanation.violations == (Violation("unknown_type", "event_type", expected, got),)
    assert explanation.contract is None


UUID = "a UUID such as 123e4567-e89b-12d3-a456-426614174000"
TIMESTAMP = "a timestamp such as 2025-02-08T13:09:00Z"


@pytest.mark.parametrize(
    ("name", "text", "code", "expected", "got"),
    [
        ("inventory_id", None, "missing", UUID, "nothing"),
        ("inventory_id", "null", "missing", UUID, "null"),
        ("inventory_id", "5", "type", UUID, "5"),
        ("inventory_id", '"x"', "format", UUID, '"x"'),
        ("reason", '"theft"', "enum", "one of restock, sale, return, damage", '"theft"'),
        ("reason", "null", "missing", "one of restock, sale, return, damage", "null"),
        ("quantity_change", "101", "range", "-100 to 100", "101"),
        ("quantity_change", "1.0", "type", "an integer", "1.0"),
        ("quantity_change", '"5"', "type", "an integer", '"5"'),
        ("quantity_change", "true", "type", "an integer", "true"),
        ("quantity_change", "9" * 200, "range", "-100 to 100", "9" * 99 + "…"),
        ("quantity_change", "1" * 5000, "range", "-100 to 100", "1" * 99 + "…"),
        ("timestamp", '"2025-02-30T00:00:00Z"', "format", TIMESTAMP, '"2025-02-30T00:00:00Z"'),
        ("timestamp", "1739020140", "type", TIMESTAMP, "1739020140"),
        ("timestamp", '"0001-01-01T00:00:00+01:00"', "range", "an instant of the years 0001 to 9999 in UTC",
         '"0001-01-01T00:00:00+01:00"'),
    ],
)  # fmt: skip
def test_invalid_value_has_one_violation(
    name: str, text: str | None, code: str, expected: str, got: str
) -> None:
    explanation = EXPLAIN(inventory(**{name: text}))
    assert explanation.violations == (Violation(code, name, expected, got),)
    assert explanation.event_type == "inventory"
    assert (explanation.event_time is None) is (name == "timestamp")


PRICES: list[Property] = [
    Property("price", "decimal", required=True),
    Property("fee", "decimal", minimum=0, maximum=1),
    Property("ratio", "float", minimum=0),
    Property("code", "string", pattern="^[A-Z]+$", min_length=2, max_length=3),
    Property("tags", "array", min_length=1, items=Property("item", "string", required=True, enum=("a",))),
    Property(
        "box", "object", properties=(Property("day", "date", required=True), Property("open", "boolean"))
    ),
    Property("free", "json"),
    Property("level", "integer", minimum=1),
]
SALE = compile_explainer(
    {"sale": Contract("sale", "sales", "s", "1", "d", "", tuple(PRICES), None)}, None
).explain
FITS = "a number with at most 29 digits before the point and 9 after"
DOUBLE = "a number within the range of a double"


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ('"price":1e2', []),
        ('"price":1.500000000000', []),
        ('"price":0e999999999999999999', []),
        ('"price":0e99999999999999999999', [("range", "price", FITS, "0e99999999999999999999")]),
        ('"price":10e-10', []),
        ('"price":99999999999999999999999999999.9999999990', []),
        ('"price":1e29', [("range", "price", FITS, "1e29")]),
        ('"price":1e-10', [("range", "price", FITS, "1e-10")]),
        ('"price":1e99999999999999999999', [("range", "price", FITS, "1e99999999999999999999")]),
        ('"price":"1.5"', [("type", "price", "a number", '"1.5"')]),
        ('"price":1,"fee":1.000000001', [("range", "fee", "0 to 1", "1.000000001")]),
        ('"price":1,"ratio":1e999', [("range", "ratio", DOUBLE, "1e999")]),
        ('"price":1,"ratio":-0.1', [("range", "ratio", "at least 0", "-0.1")]),
        ('"price":1,"level":0', [("range", "level", "at least 1", "0")]),
        ('"price":1,"code":"x"', [("format", "code", "a string that matches ^[A-Z]+$", '"x"'),
                                  ("length", "code", "2 to 3 characters", "1 characters")]),
        ('"price":1,"tags":[]', [("length", "tags", "at least 1 items", "0 items")]),
        ('"price":1,"tags":["a",null,"b",1]', [("missing", "tags.1", "a", "null"), ("enum", "tags.2", "a", '"b"'),
                                               ("type", "tags.3", "a", "1")]),
        ('"price":1,"tags":{}', [("type", "tags", "an array", "{}")]),
        ('"price":1,"box":{"day":"2025-02-29","open":1}', [
            ("format", "box.day", "a date such as 2025-02-08", '"2025-02-29"'),
            ("type", "box.open", "true or false", "1")]),
        ('"price":1,"box":{}', [("missing", "box.day", "a date such as 2025-02-08", "nothing")]),
        ('"price":1,"box":[1.10]', [("type", "box", "an object", "[1.10]")]),
        ('"price":1,"free":{"a":[{"b":1e999}]}', [("range", "free.a.0.b", DOUBLE, "1e999")]),
        ('"price":1,"free":[]', [("type", "free", "an object", "[]")]),
        ('"price":1,"other":1e999', []),
        (f'"price":1,"other":{"1" * 5000}', []),
    ],
)  # fmt: skip
def test_value_of_every_type_is_checked(members: str, expected: list[tuple[str, str, str, str]]) -> None:
    explanation = SALE(f"{{{members}}}".encode())
    assert explanation.violations == tuple(Violation(*values) for values in expected)


def test_record_with_several_violations_lists_them_all() -> None:
    record = inventory(inventory_id="5", quantity_change="500", reason='"x"', timestamp=None)
    assert [(violation.code, violation.path) for violation in EXPLAIN(record).violations] == [
        ("type", "inventory_id"),
        ("range", "quantity_change"),
        ("enum", "reason"),
        ("missing", "timestamp"),
    ]


@pytest.mark.parametrize(
    ("duplicates", "violations"),
    [
        ('"reason":"x"', [Violation("enum", "reason", "one of restock, sale, return, damage", '"x"')]),
        ('"reason":null', [Violation("missing", "reason", "one of restock, sale, return, damage", "null")]),
        (
            '"event_type":"order"',
            [Violation("enum", "event_type", "inventory, as where the key is repeated", '"order"')],
        ),
        ('"reason":"sale","unknown":1,"unknown":2', []),
    ],
)
def test_every_value_of_a_repeated_key_is_checked(duplicates: str, violations: list[Violation]) -> None:
    assert list(EXPLAIN(b"{" + duplicates.encode() + b"," + inventory()[1:]).violations) == violations


def test_code_of_violations_is_the_first_in_order() -> None:
    violations = [Violation(code, "a", "", "") for code in ("length", "missing", "type")]
    assert violation_code(violations) == "missing"


def test_values_beyond_a_hundred_are_counted_and_not_listed() -> None:
    def explain(number: int) -> str:
        values = tuple(str(index) for index in range(number))
        contract = Contract("c", "c", "c", "1", "d", "", (Property("x", "string", enum=values),), None)
        return compile_explainer({"c": contract}, None).explain(b'{"x":"a"}').violations[0].expected

    hundred = ", ".join(str(index) for index in range(100))
    assert explain(100) == f"one of {hundred}"
    assert explain(102) == f"one of {hundred} and 2 more"
