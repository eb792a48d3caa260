from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sluice.elements import EventBatch, OrderedLines
from sluice.errors import StorageError
from sluice.graph.shuffle import Spill, pack, unpack

LINES = st.lists(st.binary().map(lambda line: line.replace(b"\n", b"")), min_size=1)
PARTS = st.builds(
    OrderedLines,
    uri=st.text(),
    offset=st.integers(0, 2**62),
    lines=LINES,
    acks=st.dictionaries(st.integers(1, 2**62), st.integers(1, 2**62)),
)


@given(st.lists(PARTS, min_size=1))
def test_unpacked_batch_equals_the_packed_one(parts: list[OrderedLines]) -> None:
    assert unpack(pack(EventBatch(parts))) == EventBatch(parts)


def test_spill_reference_returns_its_bytes_in_another_process(tmp_path: Path) -> None:
    spill = Spill(str(tmp_path))
    claims = [spill.put(data) for data in (b"first", b"", b"x" * 100_000)]
    assert max(map(len, claims)) < 200
    with multiprocessing.get_context("spawn").Pool(1) as elsewhere:
        assert elsewhere.map(spill.get, claims) == [b"first", b"", b"x" * 100_000]
        assert spill.get(elsewhere.apply(spill.put, (b"more",))) == b"more"
    assert len(list(tmp_path.iterdir())) == 2


def test_spill_that_cannot_be_written_names_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    with pytest.raises(StorageError) as raised:
        Spill(str(folder)).put(b"1234")
    assert str(raised.value) == (
        f"{folder}: cannot spill 4 bytes: No such file or directory; TMPDIR chooses another disk"
    )
