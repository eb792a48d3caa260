"""Repaired lines: their notes are put into `_extra` at once, as if they were found line by line."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sluice.arrow.from_json import to_table
from sluice.arrow.repaired_lines import is_note, split_notes

from tests.arrow.order_lines import NOW, ORDER, START, segment

REPAIRABLE = replace(ORDER, repair=(("literals", None),))
NOTE = b',"_repaired":{"rules":["literals"],"line":"{\\"_repaired\\":, 1,}"}}'
LINE = START + NOTE


def test_note_is_cut_from_its_line() -> None:
    assert split_notes([LINE, START + b"}"]) == ([START + b"}"] * 2, ["{" + NOTE[1:].decode(), None])


@pytest.mark.parametrize(
    "line",
    [
        LINE[:-1] + b',"x":1}',
        START + b',"address":{"city":"a"' + NOTE + b"}",
        LINE + b"}",
        LINE[:-1],
        LINE.replace(b"literals", b"\xff"),
    ],
)
def test_note_that_is_not_the_end_of_its_line_is_left_there(line: bytes) -> None:
    assert split_notes([LINE, line]) is None


@pytest.mark.parametrize(
    ("extra", "is_one"),
    [
        ('{"_repaired":{"rules":[],"line":"x"}}', True),
        ('{"_repaired":{},"x":1}', False),
        ('{"x":1,"_repaired":{}}', False),
        ('{"_repaired":}', False),
    ],
)
def test_extra_is_a_note_if_it_has_no_other_member(extra: str, is_one: bool) -> None:
    assert is_note(extra) is is_one


LINES = [
    LINE,
    START + b"}",
    LINE.replace(b'"rules":[', b' "rules" : [ '),
    LINE.replace(b',"_rep', b', "_rep'),
    LINE.replace(b',"_rep', b',"x":1,"_rep'),
    LINE.replace(b',"_rep', b',"count":null,"_rep'),
    LINE.replace(b',"_rep', b',"address":{"city":"a","x":1},"_rep'),
    LINE[:-1] + b',"x":1.10}',
    LINE[:-1] + NOTE,
    START + b',"_repaired":1}',
    LINE.replace(b"literals", b"\xff"),
    b'{"_repaired":1}',
]


@given(st.lists(st.sampled_from(LINES), max_size=4), st.booleans())
def test_table_is_the_same_as_when_each_line_is_searched(lines: list[bytes], is_plain: bool) -> None:
    stored, ids = replace(segment(*lines), plain=is_plain), [str(index) for index in range(len(lines))]
    assert to_table(REPAIRABLE, stored, ids, NOW) == to_table(ORDER, stored, ids, NOW)
