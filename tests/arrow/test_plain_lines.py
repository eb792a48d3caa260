"""Plain lines: what arrow-rs reads of them is what pyarrow would, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from sluice.arrow.from_json import find_unknown, read_plain, rewrite_lines, to_table
from sluice.contracts import Identity
from sluice.formats.delivery import with_delivery
from sluice.formats.source_member import with_source
from sluice.provenance import Origin

from tests.arrow.order_lines import NOW, ORDER, START, rows, segment

PLAIN = (
    START
    + b',"items":[{"product_id":"a","price":1.5}],"address":{"city":"R\\"\\\\iga"},"count":3,"day":"2025-02-09"}'
)


@pytest.mark.parametrize(
    ("line", "is_read"),
    [
        (PLAIN, True),
        (PLAIN.replace(b'"count":3', b'"count":9223372036854775807'), True),
        (PLAIN.replace(b'"count":3', b'"count":-9223372036854775808'), True),
        (PLAIN.replace(b'"count":3', b'"count":null'), False),  # not told from an unknown member
        (PLAIN.replace(b'"count":3', b'"count":2,"count":3'), False),
        (PLAIN.replace(b'"count":3', b'"count":3,"x":1'), False),
        (PLAIN.replace(b'"city"', b'"x":null,"city"'), False),
        (PLAIN.replace(b'"price"', b'"x":[],"price"'), False),
        (PLAIN.replace(b'"price"', b'"price":2,"price"'), False),
        (PLAIN.replace(b'"count":3', b'"":3'), False),
        (PLAIN.replace(b'"count"', b'"c\\u006funt"'), True),
        (PLAIN.replace(b"13:09:00Z", b"13:09:00.1234567Z"), False),
        (PLAIN.replace(b"13:09:00Z", b"13:09:00.123456Z"), True),
        (PLAIN.replace(b"13:09:00Z", b"13:09:00+02:00"), True),
        (PLAIN.replace(b"13:09:00Z", b"13:09:00"), False),
        (PLAIN.replace(b"iga", b"i\\u0067a"), True),
        (PLAIN.replace(b"iga", b"\\ud840\\udc00"), False),  # arrow-rs reads U+10000
        (PLAIN.replace(b"iga", b"\\uD83D\\uDE00"), False),
        (PLAIN.replace(b"iga", "\U00020000".encode()), True),
    ],
)
def test_accepted_lines_are_read_at_once_only_if_nothing_is_misread(line: bytes, is_read: bool) -> None:
    columns = read_plain(ORDER, [PLAIN, line])
    assert (columns is not None) is is_read
    if columns is not None:
        rewritten, _, _ = rewrite_lines(ORDER, find_unknown(ORDER, [PLAIN, line]))
        assert rows(columns) == rows(rewritten)
    stored = segment(PLAIN, line)
    at_once = to_table(ORDER, replace(stored, plain=True), ["0", "1"], NOW)
    assert at_once == to_table(ORDER, stored, ["0", "1"], NOW)


@pytest.mark.parametrize("identity", ["content", "delivery", "export"])
def test_plain_lines_are_read_with_the_origin_that_was_added_to_them(identity: Identity) -> None:
    add: dict[str, Callable[[bytes], bytes]] = {
        "content": lambda line: line,
        "delivery": lambda line: with_delivery(line, "topic/0/1"),
        "export": lambda line: with_source(line, Origin("a.csv", 5.0, offset=7)),
    }
    contract = replace(ORDER, identity=identity)
    older = replace(contract, properties=tuple(prop for prop in ORDER.properties if prop.name != "day"))
    stored = segment(*map(add[identity], (PLAIN, START + b"}")))
    assert read_plain(contract, stored.lines) is not None
    assert read_plain(older, stored.lines) is None  # it has no `day`, which is in `_extra`
    for taken in (contract, older):
        at_once = to_table(taken, replace(stored, plain=True), ["0", "1"], NOW)
        assert at_once == to_table(taken, stored, ["0", "1"], NOW)
