"""Rows that the native core makes, among those that Python makes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sluice.arrow.from_json import to_table
from sluice.arrow.native_lines import NativeReader
from sluice.contracts import Contract, Property
from sluice.contracts.model import Identity
from sluice.dead_letters.envelope import make_dead_letter
from sluice.elements import Segment

from tests.native import require_native_core
from tests.validation.test_agreement import DEAD_LETTER, EVENTS, EVERYTHING, QUICK, object_text
from tests.validation.test_plain_events import (
    FREE,
    STARTED,
    TIME,
    TIMED,
    batch,
    benchmark_lines,
    check_columns,
    check_equal,
    decoders,
    timed_contracts,
)


@pytest.fixture(autouse=True)
def _core() -> None:
    require_native_core()


@pytest.mark.parametrize("identity", ["content", "export"])
@QUICK
@given(contract=timed_contracts(), data=st.data(), wild=st.integers(0, 1))
@example(replace(EVERYTHING, properties=(TIME, FREE), event_time="when"), None, 0)
def test_rows_of_any_lines_are_those_that_python_makes(
    identity: Identity, contract: Contract, data: st.DataObject | None, wild: int
) -> None:
    contract = replace(contract, identity=identity)
    lines = [
        b'{"when":"2025-01-08T10:00:00Z"%b}' % end for end in (b"", b',"item":[1]', b"", b',"x":[1]', b"")
    ]
    if data is not None:
        lines = [data.draw(object_text(contract.properties, wild)).encode() for _ in range(4)]
    native, python = decoders({contract.event_type: contract}, None)
    for taken in python.decode(batch(lines)).events.values():
        stored = Segment("id", contract.event_type, "path", 0, taken)
        ids = [f"{index:032x}" for index in range(len(taken))]
        with pytest.MonkeyPatch.context() as patch:
            rows = to_table(contract, stored, ids, datetime(2026, 1, 1, tzinfo=UTC))
            patch.setattr(NativeReader, "read", lambda *_: None)
            expected = to_table(contract, stored, ids, datetime(2026, 1, 1, tzinfo=UTC))
        rows[0].validate(full=True)
        assert rows[0].to_pylist() == expected[0].to_pylist()
        assert (rows[0].schema, rows[1]) == (expected[0].schema, expected[1])


def test_dead_letters_of_the_benchmark_are_taken(tmp_path: Path) -> None:
    rejected = decoders(EVENTS, "event_type")[1].decode(batch(benchmark_lines(tmp_path))).rejected
    lines = [msgspec.json.encode(make_dead_letter(record, "job", STARTED, STARTED)) for record in rejected]
    assert len(lines) > 20
    assert check_columns(DEAD_LETTER, lines)
    origin = msgspec.structs.replace(rejected[0].origin, attributes={"key": "value"})
    with_attributes = make_dead_letter(replace(rejected[0], origin=origin), "job", STARTED)
    assert not check_columns(DEAD_LETTER, [*lines, msgspec.json.encode(with_attributes)])


@pytest.mark.parametrize(
    ("end", "taken"),
    [
        ("", True),
        (',"free":null', False),
        (',"free":{}', False),
        (',"free":"1"', False),
        (',"list":[]', True),
    ],
)
@pytest.mark.parametrize("required", [False, True])
def test_line_is_plain_if_it_has_no_value_of_any_shape(end: str, taken: bool, required: bool) -> None:
    properties = (TIME, Property("free", "json", required=required), Property("list", "array", items=FREE))
    contract = replace(TIMED, properties=properties)
    line = f'{{"when":"2025-01-08T10:00:00Z"{end}}}'.encode()
    assert check_columns(contract, [line]) == (taken and not required)
    native, python = decoders({"random": contract}, None)
    check_equal(native.decode(batch([line])), python.decode(batch([line])))
