from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from sluice.contracts import Contract, Property
from sluice.validation.content import compile_content

from tests.growth import LINEAR, growth_of_cpu_time

SALE = Contract(
    "sale",
    "sales",
    "sale",
    "1",
    "shop",
    "",
    (
        Property("id", "uuid", required=True, unique=True),
        Property("at", "timestamp", required=True),
        Property("price", "decimal"),
        Property("weight", "float"),
        Property("count", "integer"),
        Property("day", "date"),
        Property("paid", "boolean"),
        Property("name", "string"),
        Property("extra", "json"),
        Property("buyer", "object", properties=(Property("id", "uuid"), Property("seen", "timestamp"))),
        Property("tags", "array", items=Property("tag", "string")),
        Property(
            "items", "array", items=Property("item", "object", properties=(Property("product", "uuid"),))
        ),
    ),
    "at",
    "properties",
)
A = "0000000a-0000-4000-8000-00000000000b"
FIRST = f'{{"id":"{A}","at":"2025-02-08T13:09:00Z"}}'


def line(*members: str) -> bytes:
    return (FIRST[:-1] + "".join(f",{member}" for member in members) + "}").encode()


EQUAL = [
    (line(), f'{{ "at" : "2025-02-08T13:09:00Z", "id":"{A}" }}'.encode()),
    (line(), FIRST.replace(A, A.upper()).encode()),
    (line(), FIRST.replace("13:09:00Z", "14:09:00.000+01:00").encode()),
    (line(), FIRST.replace("T13:09:00Z", " 13:09:00").encode()),
    (line(), line('"price":null', '"buyer":null', '"tags":null')),
    (line(), line('"_repaired":{"rules":["literals"],"line":"x"}')),
    (line('"price":1.5'), line('"price":1.50')),
    (line('"price":1.5'), line('"price":15e-1')),
    (line('"price":150'), line('"price":1.5E+2')),
    (line('"price":0'), line('"price":-0.00e7')),
    (line('"weight":1'), line('"weight":1.0')),
    (line('"name":"é"'), line('"name":"\\u00e9"')),
    (line('"name":"a/b"'), line('"name":"a\\/b"')),
    (line('"name":"x"', '"count":1'), line('"count":1', '"name":"x"')),
    (line('"name":"x"'), line('"name":"y"', '"name":"x"')),
    (line('"buyer":{"id":"%s"}' % A), line('"buyer":{"seen":null,"id":"%s"}' % A.upper())),
    (
        line('"buyer":{"seen":"2025-02-08T13:09:00Z"}'),
        line('"buyer":{"seen":"2025-02-08T15:09:00+02:00"}'),
    ),
    (line('"items":[{"product":"%s"}]' % A), line('"items":[ {"product":"%s"} ]' % A.upper())),
    (line('"extra":{"a":1,"b":[1.0]}'), line('"extra":{"b":[1],"a":1}')),
    (line('"unknown":{"a":1,"b":2}'), line('"unknown":{"b":2,"a":1}')),
    (line('"unknown":1' + "0" * 5000), line('"unknown":1e5000')),
]
DIFFERENT = [
    (line(), FIRST.replace("13:09:00Z", "13:09:00.000001Z").encode()),
    (line(), FIRST.replace("000b", "000c").encode()),
    (line('"price":1.5'), line('"price":1.6')),
    (line('"price":1.5'), line('"price":-1.5')),
    (line('"price":1'), line('"price":10')),
    (
        line('"price":12345678901234567890123456789.000000001'),
        line('"price":12345678901234567890123456789.000000002'),
    ),
    (line('"count":1'), line()),
    (line('"paid":true'), line('"paid":false')),
    (line('"name":"x"'), line('"name":"X"')),
    (line('"name":"1"'), line('"name":"1.0"')),
    (line('"name":"null"'), line()),
    (line('"day":"2025-02-08"'), line('"day":"2025-02-09"')),
    (line('"tags":["a","b"]'), line('"tags":["b","a"]')),
    (line('"tags":[null]'), line('"tags":[]')),
    (line('"items":[{"product":"%s"}]' % A), line('"items":[{"product":null}]')),
    (line('"buyer":{"other":1}'), line('"buyer":{"other":2}')),
    (line('"extra":{"id":"A"}'), line('"extra":{"id":"a"}')),
    (line('"unknown":"1"'), line('"unknown":1')),
    (line('"unknown":null'), line()),
    (line('"unknown":true'), line('"unknown":1')),
    (line('"unknown":1e999999999999999999999'), line('"unknown":1e999999999999999999998')),
]


@pytest.fixture(scope="module")
def content_of() -> Callable[[bytes], bytes]:
    return compile_content(SALE)


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_lines_that_make_the_same_row_have_the_same_content(
    content_of: Callable[[bytes], bytes], one: bytes, other: bytes
) -> None:
    assert content_of(one) == content_of(other)
    assert len(content_of(one)) == 16


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_lines_with_another_value_have_another_content(
    content_of: Callable[[bytes], bytes], one: bytes, other: bytes
) -> None:
    assert content_of(one) != content_of(other)


@pytest.mark.parametrize("bad", [b"", b"{", b'"\xff"', b'{"name":"\\ud800"}', b"[" * 5000])
def test_line_that_cannot_be_read_is_compared_byte_by_byte(
    content_of: Callable[[bytes], bytes], bad: bytes
) -> None:
    assert content_of(bad) == content_of(bytes(bad))
    assert content_of(bad) != content_of(bad + b" ")


def test_event_time_that_may_be_the_arrival_is_no_content() -> None:
    content_of = compile_content(replace(SALE, event_time_from_arrival=True))
    assert content_of(line()) == content_of(FIRST.replace("13:09:00Z", "13:09:01Z").encode())


def test_masked_values_are_compared_as_stored() -> None:
    masked = replace(SALE, properties=(Property("at", "timestamp", mask="hash"),))
    content_of = compile_content(masked)
    assert content_of(b'{"at":"9f86d081"}') != content_of(b'{"at":"9f86d082"}')


@pytest.mark.parametrize(
    "part", [b'"%d":1,', b'"n":1,', b'"s":"\\\\",', b'"d":0.%d,', b'"a":[[],{}],'], ids=str
)
def test_time_grows_with_the_line(content_of: Callable[[bytes], bytes], part: bytes) -> None:
    def work(size: int) -> None:
        members = b"".join(part % number if b"%d" in part else part for number in range(size))
        content_of(b"{" + members + b'"z":"' + b"x" * size + b'"}')

    assert growth_of_cpu_time(work, 20_000) < LINEAR
