"""The native core against Python, which defines what is right: what it takes, Python takes, with the same result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from sluice.arrow.from_json import read_with_unknown
from sluice.arrow.native_lines import NativeReader
from sluice.contracts import Contract, Property
from sluice.contracts.model import FromSource, Identity
from sluice.contracts.native_rules import describe
from sluice.elements import RecordBatch
from sluice.formats.source_member import source_of, with_sources
from sluice.provenance import FileProvenance, PartitionProvenance
from sluice.validation import plain_events
from sluice.validation.age_limits import AgeLimits
from sluice.validation.records import Decoded, RecordDecoder

from benchmarks.generate_events import write_events
from tests.native import require_native_core
from tests.validation.test_agreement import (
    EVENTS,
    EVERYTHING,
    JUNK,
    QUICK,
    object_text,
    properties_of,
)

STARTED = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
ALWAYS = AgeLimits(max_skew=1e12, allowed_lateness=1e12, started=STARTED)
TIME = Property("when", "timestamp", required=True)
FREE = Property("item", "json")
OTHER = b'{"when":"2025-01-08T10:00:00Z","other":%b}'


@pytest.fixture(autouse=True)
def _core() -> None:
    require_native_core()


def decoders(
    contracts: Mapping[str, Contract], route_by: str | None, ages: AgeLimits = ALWAYS, shards: int = 1
) -> tuple[RecordDecoder, RecordDecoder]:
    """Return a decoder with the core, and one without."""
    native = RecordDecoder(contracts, route_by, ages, shards)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain_events, "native_core", lambda: None)
        return native, RecordDecoder(contracts, route_by, ages, shards)


def batch(lines: Sequence[bytes]) -> RecordBatch:
    return RecordBatch(list(lines), FileProvenance("a.json", STARTED, range(0, 1000 * len(lines), 1000)))


def partition(lines: Sequence[bytes]) -> RecordBatch:
    times = [STARTED + index for index in range(len(lines))]
    return RecordBatch(
        list(lines), PartitionProvenance('broker/"topic"', STARTED, 7, range(len(lines)), times)
    )


def check_equal(decoded: Decoded, expected: Decoded) -> None:
    for each in fields(Decoded):
        assert getattr(decoded, each.name) == getattr(expected, each.name), each.name


def check_columns(contract: Contract, lines: Sequence[bytes]) -> bool:
    """Assert that the core reads the lines as Python does; tell whether it has read them all."""
    read = NativeReader(contract).read(lines)
    if read is None:
        return False
    others = set(read.others)
    lines = [line for index, line in enumerate(lines) if index not in others]
    columns, extra, errors = read_with_unknown(contract, lines)
    assert errors == []
    for column, expected in zip(read.properties, columns, strict=True):
        column.validate(full=True)
        assert column.to_pylist() == expected.to_pylist()
    assert read.extra.to_pylist() == extra.to_pylist()
    sources = list(map(source_of, lines)) if contract.identity == "export" else []
    expected_sources = [(source.arrived_at, source.uri, source.position) for source in sources]
    assert list(zip(*(column.to_pylist() for column in read.sources), strict=True)) == expected_sources
    return not others


@st.composite
def timed_contracts(draw: DrawFn) -> Contract:
    """Any contract with an event time."""
    properties = [TIME, *draw(properties_of(2))]
    return Contract("random", "random", "random", "1", "test", "", tuple(properties), "when")


def spliced(line: bytes, at: int, removed: int, snip: bytes) -> bytes:
    at %= len(line) + 1
    return line[:at] + snip + line[at + removed :]


SNIPS = (
    *(
        b'"',
        b"\\",
        b"\\u00e9",
        b"\\ud800",
        b"\xff",
        b"{",
        b"}",
        b"[",
        b",",
        b":",
        b"\x00",
        b"\t",
        b" ",
        b"\n",
    ),
    *(b"0", b"-", b".", b"e5", b"9" * 19, b"null", b"true", b',"x":1.50', b',"x":"y","x":2', b',"\\u0078":1'),
)


@pytest.mark.parametrize("shards", [1, 3])
@QUICK
@given(data=st.data(), wild=st.integers(0, 2))
def test_events_are_decoded_as_without_the_core(shards: int, data: st.DataObject, wild: int) -> None:
    names = data.draw(st.lists(st.sampled_from(sorted(EVENTS)), min_size=1, max_size=6))
    lines = [data.draw(object_text(EVENTS[name].properties, wild)).encode() for name in names]
    lines += data.draw(st.lists(st.sampled_from(lines), max_size=2))
    native, python = decoders(EVENTS, "event_type", shards=shards)
    check_equal(native.decode(batch(lines)), python.decode(batch(lines)))


@QUICK
@given(
    data=st.data(),
    at=st.integers(0, 500),
    removed=st.integers(0, 3),
    snip=st.sampled_from(SNIPS) | st.binary(max_size=3) | JUNK.map(str.encode),
)
def test_changed_events_are_decoded_as_without_the_core(
    data: st.DataObject, at: int, removed: int, snip: bytes
) -> None:
    name = data.draw(st.sampled_from(sorted(EVENTS)))
    line = data.draw(object_text(EVENTS[name].properties, 0)).encode()
    native, python = decoders(EVENTS, "event_type")
    lines = [line, spliced(line, at, removed, snip), line]
    decoded, expected = native.decode(batch(lines)), python.decode(batch(lines))
    check_equal(decoded, expected)
    for key, taken in decoded.events.items():
        check_columns(EVENTS[key.event_type], taken)


@pytest.mark.parametrize("identity", ["content", "delivery", "export"])
@QUICK
@given(contract=timed_contracts(), data=st.data(), wild=st.integers(0, 1))
@example(EVERYTHING, None, 0)
def test_lines_of_any_contract_are_read_as_without_the_core(
    identity: Identity, contract: Contract, data: st.DataObject | None, wild: int
) -> None:
    contract = replace(contract, identity=identity)
    if data is None:
        assert describe(contract) is None  # it has properties of any shape
        return
    lines = [data.draw(object_text(contract.properties, wild)).encode() for _ in range(3)]
    native, python = decoders({"random": contract}, None)
    records = data.draw(st.sampled_from([batch(lines), partition(lines)]))
    expected = python.decode(records)
    check_equal(native.decode(records), expected)
    for taken in expected.events.values():
        check_columns(contract, taken)


def benchmark_lines(folder: Path) -> list[bytes]:
    write_events(3_000, folder / "events.ndjson")
    return (folder / "events.ndjson").read_bytes().splitlines()


def test_all_valid_events_of_the_benchmark_are_taken(tmp_path: Path) -> None:
    lines = benchmark_lines(tmp_path)
    native, python = decoders(EVENTS, "event_type")
    expected = python.decode(batch(lines))
    check_equal(native.decode(batch(lines)), expected)
    finder = plain_events.PlainFinder(EVENTS, "event_type", dict.fromkeys(EVENTS, 60))
    plain = finder.find(lines)
    assert plain is not None
    accepted = sum(map(len, expected.events.values()))
    assert sum(len(events.lines) for events in plain.events) == accepted
    assert len(plain.others) == len(expected.rejected) == len(lines) - accepted > 0
    for key, taken in expected.events.items():
        assert check_columns(EVENTS[key.event_type], taken)


@pytest.mark.parametrize("arrivals", ["in time", "some late"])
def test_age_limits_hold_for_each_plain_event(arrivals: str, tmp_path: Path) -> None:
    lines = benchmark_lines(tmp_path)[:500]
    first = decoders(EVENTS, "event_type")[1].decode(batch(lines)).first
    native, python = decoders(EVENTS, "event_type", AgeLimits(max_skew=3_600, allowed_lateness=60))
    late = 10_000 if arrivals == "some late" else 0
    times = [first + (late if index % 7 == 0 else 0) for index in range(len(lines))]
    messages = RecordBatch(lines, PartitionProvenance("topic", min(times), 0, range(len(lines)), times))
    decoded = native.decode(messages)
    check_equal(decoded, python.decode(messages))
    codes = {violation.code for rejected in decoded.rejected for violation in rejected.violations}
    assert ("too_late" in codes) == (arrivals == "some late")


@pytest.mark.parametrize(
    ("end", "taken"),
    [
        (b"", True),
        (b',"_source":"its own"', True),
        (b',"_source":{"uri":"its own"}', False),
        (b',"_source":{"uri":"its own","arrived_at":"2025-01-08T10:00:00Z","position":1}', False),
    ],
)
def test_lines_with_a_source_are_read(end: bytes, taken: bool) -> None:
    contract = replace(TIMED, identity="export")
    line = b'{"when":"2025-01-08T10:00:00Z"%b}' % end
    lines = with_sources([line, line], FileProvenance('a "b"/c.csv', 1.5, [0, 70]), [0, 1])
    assert check_columns(contract, lines) == taken
    assert not check_columns(contract, [lines[0], lines[0].replace(b'"position":0', b'"position":0.5')])


@pytest.mark.parametrize(
    ("value", "taken"),
    [
        (rb'"a \"b\", \\ \/ \b\f\n\r\t"', True),
        (rb'"\u00e9 \u0022 \u0000"', True),
        (rb'"\ud83d\ude00"', False),
        (rb'"\ud83d"', False),
        (rb'"\x"', False),
        (rb'"\u00g9"', False),
    ],
)
def test_member_outside_the_contract_may_have_escapes(value: bytes, taken: bool) -> None:
    line = OTHER % value
    native, python = decoders({"random": TIMED}, None)
    check_equal(native.decode(batch([line])), python.decode(batch([line])))
    assert check_columns(TIMED, [line]) == taken


def changed(prop: Property) -> Iterator[tuple[str, Property]]:
    """Yield the name of each field of a property, and a copy of `prop` that has another value for it."""
    values: dict[str, Any] = {
        "enum": ("a",),
        "minimum": 1,
        "maximum": 1,
        "min_length": 1,
        "max_length": 1,
        "pattern": "a",
        "multiple_of": Decimal(2),
        "earliest": STARTED,
        "latest": STARTED,
        "unique_items": True,
        "members": ("a",),
        "mask": "hash",
        "from_source": FromSource(),
        "items": TIME,
        "properties": (TIME,),
        "required": not prop.required,
        "nullable": not prop.nullable,
        "description": "a",
        "unique": True,
        "classification": "a",
        "references": "a.b",
        "flatten": True,
        "aliases": ("a",),
        "day_first": True,
        "name": "b",
        "type": "of a later version",
    }
    assert values.keys() == {each.name for each in fields(Property)}, "does the core know it?"
    for name, value in values.items():
        yield name, replace(prop, **{name: value})


NO_RULE = {
    "required",
    "nullable",
    "description",
    "unique",
    "classification",
    "references",
    "flatten",
    "aliases",
}
NO_RULE |= {"day_first", "name"}


@pytest.mark.parametrize(
    ("prop", "rules"),
    [
        (Property("a", "string"), {"enum", "min_length", "max_length", "pattern"}),
        (Property("a", "uuid"), set()),
        (Property("a", "integer"), {"minimum", "maximum"}),
        (Property("a", "float"), {"minimum", "maximum"}),
        (Property("a", "decimal"), {"minimum", "maximum"}),
        (Property("a", "boolean"), set()),
        (Property("a", "timestamp"), set()),
        (Property("a", "date"), set()),
        (Property("a", "json"), set()),
        (Property("a", "object", properties=(TIME,)), {"properties"}),
        (Property("a", "array", items=TIME), {"items", "min_length", "max_length"}),
    ],
    ids=lambda value: value.type if isinstance(value, Property) else "",
)
def test_contract_with_a_rule_that_the_core_does_not_know_is_not_given_to_it(
    prop: Property, rules: set[str]
) -> None:
    described = {name for name, other in changed(prop) if describe(replace(TIMED, properties=(TIME, other)))}
    assert described == rules | NO_RULE


TIMED = Contract("random", "random", "random", "1", "test", "", (TIME,), "when")


def test_contract_without_an_event_time_is_not_given_to_the_core() -> None:
    assert describe(TIMED) is not None
    assert describe(replace(TIMED, event_time=None)) is None
    assert describe(replace(TIMED, properties=(Property("when", "date", required=True),))) is None
    assert describe(replace(TIMED, properties=(Property("when", "timestamp"),))) is None


def test_member_that_routes_is_the_one_at_the_top() -> None:
    inner = Property("inner", "object", properties=(Property("kind", "string"),))
    names = ("a", "b")
    undeclared = {name: replace(TIMED, event_type=name, properties=(TIME, inner)) for name in names}
    declared = {
        name: replace(
            contract,
            properties=(*contract.properties, Property("kind", "string", required=True, enum=(name,))),
        )
        for name, contract in undeclared.items()
    }
    line = b'{"when":"2025-01-08T10:00:00Z","inner":{"kind":"a"},"kind":"b"}'
    for contracts in (undeclared, declared):
        native, python = decoders(contracts, "kind")
        expected = python.decode(batch([line]))
        assert [key.event_type for key in expected.events] == ["b"]
        check_equal(native.decode(batch([line])), expected)


def flat(number: int) -> tuple[Property, ...]:
    return tuple(Property(f"p{index}", "integer") for index in range(number))


@pytest.mark.parametrize(
    ("properties", "given"),
    [
        ((TIME, *flat(63)), True),
        ((TIME, *flat(64)), False),
        ((TIME, Property("o", "object", properties=flat(64))), True),
        ((TIME, Property("o", "object", properties=flat(65))), False),
        ((TIME, Property("a", "array", items=Property("i", "object", properties=flat(65)))), False),
    ],
)
def test_contract_with_many_properties_is_not_given_to_the_core(
    properties: tuple[Property, ...], given: bool
) -> None:
    contract = replace(TIMED, properties=properties)
    assert (describe(contract) is not None) == given
    lines = [b'{"when":"2025-01-08T10:00:00Z"}']
    native, python = decoders({"random": contract}, None)
    check_equal(native.decode(batch(lines)), python.decode(batch(lines)))
    assert check_columns(contract, lines) == given


def test_pattern_that_is_too_large_for_the_core_is_left_to_python() -> None:
    prop = Property("a", "string", pattern=r"^(\w{500}){500}$")
    contract = replace(TIMED, properties=(TIME, prop))
    assert not check_columns(contract, [b'{"when":"2025-01-08T10:00:00Z","a":"b"}'])
    assert check_columns(contract, [b'{"when":"2025-01-08T10:00:00Z"}'])


@pytest.mark.parametrize(("number", "taken"), [(64, True), (65, False)])
def test_line_with_many_unknown_members_is_left_to_python(number: int, taken: bool) -> None:
    members = b"".join(b',"x%d":%d' % (index, index) for index in range(number))
    assert check_columns(TIMED, [b'{"when":"2025-01-08T10:00:00Z"%b}' % members]) == taken
