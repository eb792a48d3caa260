"""A block of lines is the sequence of its lines."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sluice.line_block import LineBlock, size_of

from tests.native import require_native_core

LINES = st.lists(st.binary().map(lambda line: line.replace(b"\n", b"")))


@pytest.fixture(params=["native core", "Python"])
def core(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "Python":
        monkeypatch.setattr("sluice.line_block.native_core", lambda: None)
    else:
        require_native_core()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.usefixtures("core")
@given(LINES)
def test_lines_are_found_one_by_one(lines: list[bytes]) -> None:
    data = LineBlock.of(lines).data
    assert LineBlock(data).starts.tolist() == [
        len(LineBlock.of(lines[:index]).data) for index in range(len(lines))
    ]
    block = LineBlock(data)
    assert len(block) == len(lines)
    assert [block[index] for index in range(-len(lines), len(lines))] == lines * 2
    for index in (len(lines), -len(lines) - 1):
        with pytest.raises(IndexError):
            block[index]


@given(LINES, st.data())
def test_block_is_the_sequence_of_its_lines(lines: list[bytes], data: st.DataObject) -> None:
    block = LineBlock.of(lines)
    assert block.data == b"".join(line + b"\n" for line in lines)
    for same in (block, LineBlock(block.data), pickle.loads(pickle.dumps(block))):
        assert (len(same), same.size, size_of(same)) == (len(lines), size_of(lines), sum(map(len, lines)))
        assert (list(same), same[:1], same == block) == (lines, lines[:1], True)
        assert [same[index] for index in range(len(lines))] == lines
    assert (block == lines, lines == block, block == [*lines, b"more"]) == (True, True, False)
    assert LineBlock.of(block) is block
    cuts = sorted(data.draw(st.lists(st.integers(0, len(lines)), max_size=4)))
    parts = [lines[start:end] for start, end in zip([0, *cuts], [*cuts, len(lines)], strict=True)]
    assert LineBlock.joined(parts).data == block.data
    assert len(LineBlock.joined(map(LineBlock.of, parts))) == len(lines)


def test_line_with_a_line_feed_is_reported_once_the_lines_are_cut() -> None:
    data = LineBlock.of([b"1", b"2\n3"]).data
    block = LineBlock(data, 2)
    assert len(block) == 2
    with pytest.raises(ValueError, match="expected 2 lines without line feeds, got 3"):
        list(block)
    with pytest.raises(ValueError, match="expected 2 lines without line feeds, got 3"):
        LineBlock(data, 2)[0]


def test_lines_are_kept_where_there_are_objects() -> None:
    lines = [b"first", b"second"]
    joined = LineBlock.joined([lines[:1], lines[1:]])
    assert all(kept is line for kept, line in zip(joined, lines, strict=True))
    assert list(LineBlock.joined([lines[:1], LineBlock(b"other\n")])) == [b"first", b"other"]


def test_block_equals_nothing_but_sequences() -> None:
    assert LineBlock(b"1\n") != b"1\n"
    assert LineBlock(b"1\n") != 1
    assert repr(LineBlock(b"1\n")) == "LineBlock(b'1\\n')"
