"""Masking and redelivery over names of properties that are hard to write in a path."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sluice.contracts import ITEM, Contract, Property, parse_path, path_text
from sluice.elements import RecordBatch, Rejected
from sluice.provenance import FileProvenance, Origin, RedeliveryProvenance
from sluice.validation.age_limits import AgeLimits
from sluice.validation.records import RecordDecoder

from tests.names import ALLOWED_NAMES

KEY = b"a key that nobody must ever see"
RAW = "ann@example.com"
NAMES = (*ALLOWED_NAMES, "0", "2024", "tags[]", "[0].x", "Élan", "a.b.c", "x.0", "[].a")


def contract_of(*properties: Property) -> Contract:
    return Contract("signup", "signups", "signup", "1.0.0", "test", "", properties, None)


def masked(name: str) -> Property:
    return Property(name, "string", pattern="@", mask="hash")


WRONG = Property("n", "integer", required=True)
"""What the records lack, so that each is rejected."""


def decoder(contract: Contract, done: frozenset[str] = frozenset()) -> RecordDecoder:
    return RecordDecoder({"signup": contract}, None, AgeLimits(600, 3600, 0.0), 1, KEY, done)


def reject(contract: Contract, members: Mapping[str, Any]) -> Rejected:
    record = json.dumps(members, ensure_ascii=False).encode()
    (rejected,) = decoder(contract).decode(RecordBatch([record], FileProvenance("a.json", 0.0, [0]))).rejected
    return rejected


def redeliver(contract: Contract, rejected: Rejected) -> list[dict[str, Any]]:
    """Return the events that become of a dead letter whose contract was corrected."""
    provenance = RedeliveryProvenance([Origin("a.json", 0.0)], None, rejected.masked, None)
    decoded = decoder(contract, rejected.masked).decode(RecordBatch([rejected.record], provenance))
    assert decoded.rejected == []
    return [json.loads(line) for lines in decoded.events.values() for line in lines]


def digest(value: str) -> str:
    return hmac.new(KEY, value.encode(), hashlib.sha256).hexdigest()


def places(name: str) -> dict[str, tuple[Property, Any, Any]]:
    """Return where a masked property of this name can be: its parent, a value, and the value masked."""
    inner = masked(name)
    item = Property("item", "object", required=True, properties=(inner,))
    hashed = digest(RAW)
    return {
        "of the event": (inner, RAW, hashed),
        "of an object": (Property("o", "object", properties=(inner,)), {name: RAW}, {name: hashed}),
        "of items": (Property("l", "array", items=item), [{name: RAW}, {}], [{name: hashed}, {}]),
        "an object of that name": (
            Property(name, "object", properties=(masked("email"),)), {"email": RAW}, {"email": hashed},
        ),
        "items of that name": (
            Property(name, "array", items=Property("item", "string", required=True, mask="hash")), [RAW], [hashed],
        ),
    }  # fmt: skip


@pytest.mark.parametrize("place", places("x"))
@pytest.mark.parametrize("name", NAMES)
def test_value_is_masked_once_in_a_dead_letter_and_when_it_is_redelivered(name: str, place: str) -> None:
    prop, value, hashed = places(name)[place]
    rejected = reject(contract_of(prop, WRONG), {prop.name: value})
    assert json.loads(rejected.record) == {prop.name: hashed}
    assert RAW.encode() not in rejected.record
    assert len(rejected.masked) == 1
    assert redeliver(contract_of(prop), rejected) == [{prop.name: hashed}]


@pytest.mark.parametrize("place", places("x"))
@pytest.mark.parametrize("name", NAMES)
def test_violation_shows_no_masked_value_under_any_name(name: str, place: str) -> None:
    prop, value, _ = places(name)[place]
    secret = json.loads(json.dumps(value).replace(RAW, "x y"))  # too short to be searched for, and no address
    rejected = reject(contract_of(prop, WRONG), {prop.name: secret})
    shown = [violation.got for violation in rejected.violations if violation.code != "missing"]
    assert all("x y" not in got for got in shown)


@pytest.mark.parametrize(
    ("first", "later"),
    [
        ((Property("a", "object", properties=(masked("b"),)),), Property("a.b", "string", mask="hash")),
        ((masked("a.b"),), Property("a", "object", properties=(Property("b", "string", mask="hash"),))),
        ((Property("t", "array", items=Property("item", "string", required=True, mask="hash")),), masked("t[]")),
        ((masked("a.0"),), Property("a", "array", items=Property("item", "string", required=True, mask="hash"))),
    ],
)  # fmt: skip
def test_path_that_is_masked_already_hides_no_other_value_with_the_same_letters(
    first: tuple[Property, ...], later: Property
) -> None:
    """A property that is masked since the record was rejected has a raw value in the dead letter."""
    raw = {"object": {"b": RAW}, "array": [RAW], "string": RAW}
    (known,) = first
    rejected = reject(contract_of(known, WRONG), {known.name: raw[known.type], later.name: raw[later.type]})
    hashed = json.loads(json.dumps(raw).replace(RAW, digest(RAW)))
    assert json.loads(rejected.record) == {known.name: hashed[known.type], later.name: raw[later.type]}
    assert redeliver(contract_of(known, later), rejected) == [
        {known.name: hashed[known.type], later.name: hashed[later.type]}
    ]


@pytest.mark.parametrize(
    ("declared", "written"),
    [
        ("email", "EMAIL"),
        ("token", "to\u212aen"),  # KELVIN SIGN
        ("pass", "pa\u017f\u017f"),  # LATIN SMALL LETTER LONG S
        ("élan", "ÉLAN"),
        ("straße", "STRASSE"),
        ("e\u0301t", "ét"),
        ("ét", "E\u0301T"),
        ("名前", "名前"),
        ("email", "\\u0065mail"),
    ],
)
def test_member_that_no_contract_has_is_masked_by_its_name_in_any_case(declared: str, written: str) -> None:
    contract = contract_of(masked(declared), Property("o", "object", properties=(Property("x", "string"),)))
    record = f'{{"o":{{"{written}":"{RAW}"}}}}'.encode()
    decoded = decoder(contract).decode(RecordBatch([record], FileProvenance("a.json", 0.0, [0])))
    ((line,),) = decoded.events.values()
    assert RAW.encode() not in line
    assert digest(RAW).encode() in line


@given(st.lists(st.one_of(st.text(), st.sampled_from(NAMES), st.integers(0, 99), st.just(ITEM)), max_size=5))
@settings(max_examples=500)
def test_text_of_a_path_is_read_back(parts: list[str | int]) -> None:
    path = tuple(parts)
    assert parse_path(path_text(path)) == path


@given(st.one_of(st.text(), st.text('ab0."[]\\ ', max_size=12)))
@settings(max_examples=500)
def test_any_text_is_read_as_some_path(text: str) -> None:
    path = parse_path(text)
    assert parse_path(path_text(path)) == path
