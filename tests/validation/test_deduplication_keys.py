from __future__ import annotations

from dataclasses import replace
from itertools import compress

import msgspec
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st
from sluice.contracts import Contract, Identity, Property
from sluice.formats.source_member import with_source
from sluice.provenance import Origin
from sluice.validation.deduplication_keys import (
    compile_deduplication_key,
    find_distinct,
    shard_of,
    shards_of,
)

from tests.native import require_native_core


def contract(*properties: Property, identity: Identity = "content") -> Contract:
    return Contract("sale", "sales", "sale", "1", "shop", "", properties, None, identity)


UNIQUE = (
    Property("id", "uuid", required=True, unique=True),
    Property("at", "timestamp", required=True, unique=True),
    Property("price", "decimal", required=True, unique=True),
    Property("name", "string", required=True, unique=True),
    Property("note", "string"),
)


def test_content_key_is_the_hash_of_the_line() -> None:
    assert compile_deduplication_key(contract())(b"{}") == xxhash.xxh3_128_digest(b"{}")


@pytest.mark.parametrize(
    ("record", "origin", "same"),
    [
        (b'{"a":1}', Origin("a.csv", 5.0, offset=7), True),
        (b'{"a":2}', Origin("a.csv", 5.0, offset=0), False),
        (b'{"a":1}', Origin("b.csv", 5.0, offset=0), False),
        (b'{"a":1}', Origin("a.csv", 5.5, offset=0), False),
    ],
    ids=["place", "content", "file", "time"],
)
def test_export_key_is_the_content_within_an_export(record: bytes, origin: Origin, same: bool) -> None:
    key_of = compile_deduplication_key(contract(identity="export"))
    first = with_source(b'{"a":1}', Origin("a.csv", 5.0, offset=0))
    assert (key_of(with_source(record, origin)) == key_of(first)) is same


@pytest.mark.parametrize(
    ("line", "same"),
    [
        ('{"id":"00000001-0000-4000-8000-00000000000A","at":"2025-02-08T13:09:00Z","price":1.50,"name":"é"}', True),
        ('{"name":"\\u00e9","price":1.5, "at":"2025-02-08T14:09:00+01:00","id":"00000001-0000-4000-8000-00000000000a"}',
         True),
        ('{"id":"00000001-0000-4000-8000-00000000000a","at":"2025-02-08T13:09:00","price":15e-1,"name":"é","note":"x"}',
         True),
        ('{"id":"00000001-0000-4000-8000-00000000000a","at":"2025-02-08T13:09:00Z","price":1.51,"name":"é"}', False),
        ('{"id":"00000001-0000-4000-8000-00000000000a","at":"2025-02-08T13:09:00Z","price":1.5,"name":"e"}', False),
        ('{"id":"00000001-0000-4000-8000-00000000000b","at":"2025-02-08T13:09:00Z","price":1.5,"name":"é"}', False),
        ('{"id":"00000001-0000-4000-8000-00000000000a","at":"2025-02-08T13:09:01Z","price":1.5,"name":"é"}', False),
    ],
)  # fmt: skip
def test_properties_key_compares_values_not_spellings(line: str, same: bool) -> None:
    key_of = compile_deduplication_key(contract(*UNIQUE, identity="properties"))
    first = '{"id":"00000001-0000-4000-8000-00000000000a","at":"2025-02-08T13:09:00Z","price":1.5,"name":"é"}'
    assert (key_of(line.encode()) == key_of(first.encode())) is same
    assert len(key_of(line.encode())) == 16


@pytest.mark.parametrize("text", ["-0", "0.0", "-0e5", "0e999999999999999999"])
def test_properties_key_of_every_zero_is_the_same(text: str) -> None:
    key_of = compile_deduplication_key(
        contract(Property("price", "decimal", required=True, unique=True), identity="properties")
    )
    assert key_of(f'{{"price":{text}}}'.encode()) == key_of(b'{"price":0}')


def test_properties_key_distinguishes_decimals_of_38_digits() -> None:
    price = Property("price", "decimal", required=True, unique=True)
    key_of = compile_deduplication_key(contract(price, identity="properties"))
    lines = [
        b'{"price":99999999999999999999999999999.999999999}',
        b'{"price":99999999999999999999999999999.999999998}',
    ]
    assert key_of(lines[0]) != key_of(lines[1])


def test_delivery_key_is_the_hash_of_the_lines_id() -> None:
    key_of = compile_deduplication_key(replace(contract(), identity="delivery"))
    assert key_of(b'{"a":1,"_id":"topic/0/\\u0037"}') == xxhash.xxh3_128_digest(b"topic/0/7")
    with pytest.raises(msgspec.ValidationError):
        key_of(b'{"a":1}')


def test_shard_is_the_first_half_of_the_key_modulo_the_shards() -> None:
    assert [shard_of((7).to_bytes(8, "big") + b"x" * 8, shards) for shards in (1, 2, 5, 7)] == [0, 1, 2, 0]


STORED = st.builds(
    lambda record, place: with_source(record, Origin("sales.csv", 1.5, offset=place)),
    st.sampled_from([b'{"a":1}', b"{}", b'{"a":"_source"}', b'{"_source":{"uri":"","position":1}}']),
    st.integers(0, 3),
)
CHANGED = st.sampled_from([b"{}", b'{"_source":{"uri":"a"}}', b'x"_source":{"uri":",}}', b"", b"}}"])
LINES = st.binary(max_size=300).map(lambda line: line.replace(b"\n", b""))


@given(
    st.one_of(
        st.tuples(st.just("content"), st.lists(st.one_of(STORED, LINES))),
        st.tuples(st.just("export"), st.lists(STORED)),
    ),
    st.integers(1, 5),
)
def test_native_keys_are_those_of_python(stored: tuple[Identity, list[bytes]], shards: int) -> None:
    require_native_core()
    identity, lines = stored
    key_of = compile_deduplication_key(contract(identity=identity))
    keys = list(map(key_of, lines))
    assert shards_of(key_of, lines, shards) == [shard_of(key, shards) for key in keys]
    distinct = find_distinct(key_of, lines)
    assert distinct is not None
    first = [key not in keys[:index] for index, key in enumerate(keys)]
    assert distinct.lines == list(compress(lines, first))
    assert distinct.keys == b"".join(dict.fromkeys(keys))
    assert distinct.kept == (None if all(first) else bytes(first))


@given(st.lists(STORED), CHANGED, st.lists(STORED))
def test_lines_without_a_source_are_left_to_python(
    before: list[bytes], changed: bytes, behind: list[bytes]
) -> None:
    key_of = compile_deduplication_key(contract(identity="export"))
    lines = [*before, changed, *behind]
    assert find_distinct(key_of, lines) is None
    with pytest.raises(msgspec.DecodeError, match="expected _source as the last member of the line"):
        shards_of(key_of, lines, 2)


@pytest.mark.parametrize("identity", ["properties", "delivery"])
def test_keys_that_the_core_does_not_know_are_left_to_python(identity: Identity) -> None:
    key_of = compile_deduplication_key(contract(*UNIQUE[:1], identity=identity))
    lines = [
        b'{"id":"00000001-0000-4000-8000-00000000000%d","_id":"%d"}' % (number, number) for number in range(9)
    ]
    assert find_distinct(key_of, lines) is None
    assert shards_of(key_of, lines, 3) == [shard_of(key_of(line), 3) for line in lines]
