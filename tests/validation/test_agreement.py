from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from sluice.codegen.json_schema import json_schema
from sluice.contracts import INT64_MAX, INT64_MIN, Contract, Property, load_contract, load_contracts
from sluice.validation.decoder import MAX_DEPTH, EventDecoder, compile_decoder, too_deep
from sluice.validation.explainer import Explainer, Explanation, compile_explainer
from sluice.validation.value_checks import instant

ROOT = Path(__file__).parents[2]
EVENTS = load_contracts(str(ROOT / "schemas" / "backend_events"))
DEAD_LETTER = load_contract(str(ROOT / "pipeline/sluice/dead_letters/dead_letter.odcs.yaml"), internal=True)

ITEM = Property("item", "decimal", required=True)
EVERYTHING = Contract(
    event_type="every.thing",
    table="everything",
    id="everything",
    version="1.0.0",
    domain="test",
    description="Every kind with every option, required and not.",
    event_time="when",
    properties=(
        Property("when", "timestamp", required=True),
        Property("text", "string", required=True),
        Property("short text", "string", min_length=1, max_length=3),
        Property("code", "string", required=True, pattern="^[A-Z]{2}\\d+$"),
        Property("loose", "string", pattern="b.d|\\.$", max_length=5),
        Property("nested", "string", pattern="^(a+)+$"),
        Property("broken", "string", pattern="^[^b]{3}$"),
        Property("codes", "array", items=Property("item", "string", required=True, pattern="^\\D{2}$")),
        Property("class", "string", enum=("a", "b", "é\n")),
        Property("digit", "integer", required=True, enum=(1, -2, INT64_MAX)),
        Property("id-", "uuid"),
        Property("__count", "integer"),
        Property("event_time_", "integer", required=True, minimum=0, maximum=9),
        Property("low", "integer", minimum=-1),
        Property("sum or not", "decimal", nullable=False),
        Property("ratio", "float", required=True),
        Property("part", "float", minimum=0, maximum=1.5),
        Property("money", "decimal", required=True),
        Property("fee", "decimal", minimum=-1, maximum=0.1),
        Property("price", "decimal"),
        Property("yes", "boolean"),
        Property("until", "timestamp"),
        Property("day", "date", required=True),
        Property("some day", "date"),
        Property("free", "json", required=True),
        Property("more", "json"),
        Property("lambda", "object", properties=(Property("$1", "decimal"), Property("then", "timestamp"))),
        Property(
            "box", "object", required=True, properties=(Property("in", "array", required=True, items=ITEM),)
        ),
        Property(
            "list", "array", min_length=1, max_length=2, items=Property("item", "string", required=True)
        ),
        Property("holes", "array", items=Property("item", "decimal")),
        Property("grid", "array", items=Property("row", "array", items=Property("item", "timestamp"))),
        Property("no", "array", items=Property("item", "object", properties=(Property("x", "boolean"),))),
    ),
)

NUMBERS = """0 -0 0.0 -0.0 1 -1 1.0 1e2 1E+2 1.5e1 101 -101 100.0 0.1 0.10 0.100000000000000000000001
0.1234567890 0.123456789 0.1234567891 99999999999999999999999999999 99999999999999999999999999999.999999999
1e28 1e29 -1e29
100000000000000000000000000000 1e-9 1e-10 10e-10 1e999 -1e999 1e-999 0e99999999999999999999 1.5 1.5000000001
1e99999999999999999999 1e-99999999999999999999 9223372036854775807 9223372036854775808 -9223372036854775808
-9223372036854775809 18446744073709551616 1.7976931348623157e308 1.7976931348623159e308""".split()
NUMBERS += ["9" * 400, "1" * 4300, "-" + "1" * 5000]
STRINGS = "aab|" + "a" * 60 + "!|"
STRINGS += """|x|é|order|inventory|a|true|1.5|NaN|AB1|AB1\n|AB\u0661|bad|b\u2028d|.|abcdef|2025-02-30T00:00:00Z
2025-02-08T24:00:00Z|2025-02-08T23:59:60Z|2025-02-08T13:09:00|2025-02-08 13:09:00Z|2025-02-08t13:09:00z
2025-02-08T13:09:00.123456789Z|2025-02-08T13:09:00.Z|2025-02-08T13:09:00+0530|2025-02-08T13:09:00+05|2025-02-08
2025-02-08T13:09:00+24:00|2025-02-08T13:09:00+23:59|0001-01-01T00:00:00+00:01|0001-01-01T00:00:00|0000-01-01
9999-12-31T23:59:59-00:01|9999-12-31T23:59:59.9999999Z|9999-12-31T23:59:59.999999Z|0000-01-01T00:00:00Z|2025-2-8
2025-02-29|2024-02-29|2024-02-29T00:00:00Z|2025-02-08T00:00:00Z\n|123e4567-e89b-12d3-a456-426614174000\n
123E4567-e89b-12d3-a456-426614174000|123e4567e89b12d3a456426614174000|{123e4567-e89b-12d3-a456-426614174000}
\uff11\uff12\uff13e4567-e89b-12d3-a456-426614174000|\U0001f600\U0001f600\U0001f600|\x00"""
OTHERS = ["null", "true", "false", "[]", "{}", "[null]", '[""]', "[1,2,3]", "[[]]", '{"a":1e999}', "[[null]]"]
OTHERS += ['{"b":[{"c":%s}]}' % ("7" * 5000), '{"a":1.10,"a":"x"}']
JUNK = st.sampled_from(
    [*NUMBERS, *OTHERS, *(json.dumps(text) for line in STRINGS.split("\n") for text in line.split("|"))]
    + [json.dumps(text) for text in STRINGS.split("|")]
)
SPACES = st.sampled_from(["", "", "", " ", "\n", "\t\r "])


@st.composite
def string_text(draw: DrawFn, value: str) -> str:
    """`value` in JSON, some of its characters escaped."""
    spelled = json.dumps(value, ensure_ascii=draw(st.booleans()))
    if value.isascii() and value.isprintable() and value and draw(st.integers(0, 9)) == 9:
        spelled = '"' + "".join(f"\\u{ord(char):04x}" for char in value) + '"'
    return spelled


def moments() -> SearchStrategy[str]:
    stems = st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 12, 31))  # noqa: DTZ001  the zones are drawn, too
    offsets = st.sampled_from(["Z", "z", "", "+00:00", "-05:30", "+1400", "-00:00"])
    return st.builds(lambda stem, gap, end: stem.isoformat(gap) + end, stems, st.sampled_from("Tt "), offsets)


MATCHING = {
    "^[A-Z]{2}\\d+$": ["AB1", "ZZ0042"],
    "b.d|\\.$": ["bad", "b d", "x."],
    "^(a+)+$": ["a", "a" * 60],
    "^[^b]{3}$": ["aaa", "a\na", "\n\n\n"],
    "^\\D{2}$": ["ab", "\n\n", "a\n"],
}
"""Pattern -> texts that match it."""


OBJECTS = ["{}", '{"a":{"b":[1,1.10,null]}}', '{"é":"x","a":1}', '{"a":' * 9 + "1" + "}" * 9]


def strings(prop: Property) -> SearchStrategy[str]:
    if prop.enum:
        return st.sampled_from([str(value) for value in prop.enum])
    if prop.pattern is not None:
        return st.sampled_from(MATCHING[prop.pattern])
    characters = st.characters(exclude_categories=["Cs"])
    most = 12 if prop.max_length is None else prop.max_length
    return st.text(characters, min_size=prop.min_length or 0, max_size=most)


def decimals() -> SearchStrategy[str]:
    whole = st.integers(-(10**29) + 1, 10**29 - 1) | st.integers(-100, 100)
    parts = st.from_regex("([.][0-9]{1,9}0{0,3})?", fullmatch=True, alphabet="0123456789.")
    return st.builds(lambda number, part: f"{number}{part}", whole, parts)


@st.composite
def value_text(draw: DrawFn, prop: Property, wild: int) -> str:
    """JSON text of a value of `prop`; in `wild` of 12 cases it is anything at all."""
    if draw(st.integers(0, 11)) < wild:
        return draw(JUNK)
    if prop.nullable and not prop.required and draw(st.integers(0, 3)) == 0:
        return "null"
    if prop.type in ("object", "array"):
        nested = object_text(prop.properties, wild) if prop.type == "object" else array_text(prop, wild)
        return draw(nested)
    if prop.type == "json":
        return draw(st.sampled_from(OBJECTS))
    if prop.type in ("string", "uuid", "timestamp", "date"):
        texts = {"uuid": st.uuids().map(str), "timestamp": moments(), "date": st.dates().map(date.isoformat)}
        return draw(string_text(draw(texts.get(prop.type, strings(prop)))))
    return draw(plain_texts(prop))


@st.composite
def array_text(draw: DrawFn, prop: Property, wild: int) -> str:
    assert prop.items is not None
    most = 3 if prop.max_length is None else prop.max_length
    items = st.lists(value_text(prop.items, wild), min_size=prop.min_length or 0, max_size=most)
    return f"{draw(SPACES)}[{','.join(draw(items))}]"


def plain_texts(prop: Property) -> SearchStrategy[str]:
    """JSON texts of numbers, booleans and objects of any shape."""
    low = INT64_MIN if prop.minimum is None else int(prop.minimum)
    integers = st.integers(low, INT64_MAX if prop.maximum is None else int(prop.maximum))
    floats = st.floats(prop.minimum, prop.maximum, allow_nan=False, allow_infinity=False)
    return {
        "integer": (st.sampled_from(prop.enum) if prop.enum else integers).map(str),
        "float": floats.map(repr),
        "decimal": decimals() if prop.maximum is None else st.sampled_from(["0", "0.1", "-1", "1e-3"]),
        "boolean": st.sampled_from(["true", "false"]),
        "json": st.sampled_from(OBJECTS),
    }[prop.type]


@st.composite
def object_text(draw: DrawFn, properties: tuple[Property, ...], wild: int) -> str:
    """JSON text of an object; when `wild`, members may be absent, repeated or unknown."""
    members = []
    for prop in properties:
        if prop.required or draw(st.booleans()):
            members.append((prop.name, draw(value_text(prop, wild))))
    if draw(st.booleans()):
        members = draw(st.permutations(members))
    if wild and members and draw(st.integers(0, 7)) == 0:
        members.pop(draw(st.integers(0, len(members) - 1)))
    if wild and properties and draw(st.integers(0, 15)) == 0:
        prop = draw(st.sampled_from(properties))
        members.insert(0, (prop.name, draw(value_text(prop, 6))))
    if draw(st.integers(0, 3)) == 0:
        members.append(("unknown", draw(JUNK)))
    gap = draw(SPACES)
    return (
        "{"
        + ",".join([f"{gap}{draw(string_text(name))}{gap}:{gap}{text}" for name, text in members])
        + gap
        + "}"
    )


@st.composite
def property_of(draw: DrawFn, depth: int, name: str = "item", *, required: bool = False) -> Property:
    """Any property; objects and arrays nest `depth` deep at most."""
    flat = ["string", "uuid", "integer", "float", "decimal", "boolean", "timestamp", "date", "json"]
    kind: Any = draw(st.sampled_from(flat + ["object", "array"] * 2 if depth else flat))
    required = required or draw(st.booleans())
    nullable = required or draw(st.booleans())
    common: Any = {"name": name, "type": kind, "required": required, "nullable": nullable}
    low, high = sorted(draw(st.tuples(st.integers(0, 4), st.integers(0, 4))))
    some = draw(st.booleans())
    if kind in ("integer", "float") and some:
        return Property(**common, minimum=low, maximum=high)
    if kind == "integer" and draw(st.booleans()):
        return Property(**common, enum=(low, -1 - high))
    if kind == "string" and some:
        return Property(**common, enum=("a", "é")) if low else Property(**common, max_length=high)
    if kind == "object":
        return Property(**common, properties=draw(properties_of(depth - 1)))
    if kind == "array":
        lengths: Any = {"min_length": low, "max_length": high} if some else {}
        return Property(**common, items=draw(property_of(depth - 1)), **lengths)
    return Property(**common)


def properties_of(depth: int) -> SearchStrategy[tuple[Property, ...]]:
    names = st.lists(
        st.sampled_from(["a", "b c", "class", "é", "_x", "self", "0"]), min_size=1, max_size=4, unique=True
    )
    return names.flatmap(lambda chosen: st.tuples(*(property_of(depth, name) for name in chosen)))


CONTRACTS: SearchStrategy[Contract] = st.builds(
    lambda properties: Contract("random", "random", "random", "1", "test", "", properties, None),
    properties_of(2),
)


def accepted(decoder: EventDecoder, explainer: Explainer, record: bytes) -> bool:
    """Return whether the hot path accepts `record`, as the decode step does."""
    try:
        record.decode()
        event = decoder.decode(record)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    suspects = decoder.suspects.get(type(event))
    unsuspected = (suspects is None or not suspects([event])) and not too_deep(record)
    return unsuspected or not explainer.explain(record).violations


def verdict(contracts: Mapping[str, Contract], route_by: str | None, record: bytes) -> Explanation:
    """Assert that both paths agree on `record`, and return the explanation."""
    decoder, explainer = compiled(tuple(contracts.items()), route_by)
    explanation = explainer.explain(record)
    assert accepted(decoder, explainer, record) == (not explanation.violations), explanation
    assert all(
        violation.expected != "what the contract's decoder accepts" for violation in explanation.violations
    )
    return explanation


@lru_cache(maxsize=8)
def compiled(
    contracts: tuple[tuple[str, Contract], ...], route_by: str | None
) -> tuple[EventDecoder, Explainer]:
    return compile_decoder(dict(contracts), route_by), compile_explainer(dict(contracts), route_by)


def is_date(text: str) -> bool:
    try:
        msgspec.convert(text, date)
    except msgspec.ValidationError:
        return False
    return True


@lru_cache(maxsize=8)
def validator(contract: Contract) -> jsonschema_rs.Draft202012Validator:
    formats = {"timestamp": lambda text: instant(text) is not None, "date": is_date}
    return jsonschema_rs.Draft202012Validator(json_schema(contract), formats=formats, validate_formats=True)


def check_schema(contract: Contract, record: bytes, explanation: Explanation) -> None:
    """Assert that the JSON Schema agrees too, but where it cannot: see its module's docstring."""
    suspects = [violation for violation in explanation.violations if violation.expected == "an integer"]
    free = [
        violation
        for violation in explanation.violations
        if violation.expected.startswith("a number within the range")
    ]
    text = record.decode()
    assume(not suspects and not free and "7777" not in text and "1111" not in text)
    try:
        value = json.loads(record, parse_float=exact, parse_int=exact, object_pairs_hook=unrepeated)
    except (InvalidOperation, KeyError):
        return
    assert validator(contract).is_valid(value) == (not explanation.violations), explanation


def exact(text: str) -> Decimal | int:
    number = Decimal(text)
    # The validator compares bounds as doubles.
    if number.copy_abs() < Decimal("1e29") and abs(float(number)) >= 1e29:
        raise KeyError
    return int(text) if text.lstrip("-").isdigit() else number


def unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise KeyError
    return dict(pairs)


QUICK = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
SINGLE = {"order": EVENTS["order"]}


@pytest.mark.parametrize(
    "contract", [*EVENTS.values(), DEAD_LETTER, EVERYTHING], ids=lambda contract: contract.event_type
)
@QUICK
@given(data=st.data())
def test_valid_event_is_accepted_by_decoder_explainer_and_json_schema(
    contract: Contract, data: st.DataObject
) -> None:
    record = data.draw(object_text(contract.properties, wild=0)).encode()
    explanation = verdict({contract.event_type: contract}, None, record)
    assert explanation.violations == ()
    check_schema(contract, record, explanation)


@pytest.mark.parametrize(
    "contract", [*EVENTS.values(), DEAD_LETTER, EVERYTHING], ids=lambda contract: contract.event_type
)
@QUICK
@given(data=st.data(), wild=st.integers(1, 4))
def test_decoder_and_explainer_agree_on_invalid_events(
    contract: Contract, data: st.DataObject, wild: int
) -> None:
    record = data.draw(object_text(contract.properties, wild)).encode()
    check_schema(contract, record, verdict({contract.event_type: contract}, None, record))


@pytest.mark.parametrize("contracts", [EVENTS, SINGLE], ids=["several", "single"])
@QUICK
@given(data=st.data(), name=st.sampled_from(sorted(EVENTS)), wild=st.integers(0, 3))
def test_decoder_and_explainer_agree_on_routed_events(
    contracts: Mapping[str, Contract], data: st.DataObject, name: str, wild: int
) -> None:
    record = data.draw(object_text(EVENTS[name].properties, wild)).encode()
    explanation = verdict(contracts, "event_type", record)
    if not explanation.violations:
        assert explanation.event_type == name


@QUICK
@given(data=st.data(), contract=CONTRACTS, wild=st.integers(0, 2))
def test_decoder_and_explainer_agree_on_random_contracts(
    data: st.DataObject, contract: Contract, wild: int
) -> None:
    record = data.draw(object_text(contract.properties, wild)).encode()
    explanation = verdict({"random": contract}, None, record)
    if not wild:
        assert explanation.violations == ()
    check_schema(contract, record, explanation)


@QUICK
@given(data=st.data())
def test_decoder_and_explainer_agree_on_arbitrary_bytes(data: st.DataObject) -> None:
    record = data.draw(object_text(EVENTS["order"].properties, wild=0)).encode()
    start = data.draw(st.integers(0, len(record)))
    stop = data.draw(st.integers(start, min(start + 4, len(record))))
    snip = data.draw(
        st.binary(max_size=3) | st.sampled_from([b'"', b"\\ud800", b"\xff", b"{", b",", b"\x00"])
    )
    changed = record[:start] + snip + record[stop:]
    explanation = verdict(EVENTS, "event_type", changed)
    assert bool(explanation.violations) != accepted(*compiled(tuple(EVENTS.items()), "event_type"), changed)


@pytest.mark.parametrize("depth", [MAX_DEPTH - 1, MAX_DEPTH, 900, 100_000])
def test_decoder_and_explainer_agree_on_deep_nesting(depth: int) -> None:
    line = (ROOT / "schemas/backend_events/examples/inventory.accepts.ndjson").read_bytes().splitlines()[0]
    record = line[:-1] + b',"x":' + b"[" * depth + b"]" * depth + b"}"
    explanation = verdict(EVENTS, "event_type", record)
    assert [violation.got for violation in explanation.violations] == ["nesting deeper than 256"] * (
        depth >= MAX_DEPTH
    )
