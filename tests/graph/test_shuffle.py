from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sluice.elements import EventBatch, OrderedLines
from sluice.errors import StorageError
from sluice.graph.shuffle import Spill, pack, unpack

BATCH = EventBatch([OrderedLines("a", 0, [b"1234"])])
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


def test_spill_reference_returns_its_batch_in_another_process(tmp_path: Path) -> None:
    spill = Spill(str(tmp_path))
    plain, other = (
        OrderedLines("a", 0, [b"first"], plain=True),
        OrderedLines("b", 7, [b"x" * 100_000], {1: 2}),
    )
    batches = [EventBatch([plain]), EventBatch([other]), EventBatch([])]
    claims = list(map(spill.put, batches))
    assert max(map(len, claims)) < 200
    with multiprocessing.get_context("spawn").Pool(1) as elsewhere:
        assert elsewhere.map(spill.get, claims) == batches
        assert spill.get(elsewhere.apply(spill.put, batches[:1])) == batches[0]
    assert len(list(tmp_path.iterdir())) == 2


def test_batch_is_plain_only_if_all_of_it_is_and_it_did_not_wait_on_a_cluster(tmp_path: Path) -> None:
    plain, other = OrderedLines("a", 0, [b"1"], plain=True), OrderedLines("b", 0, [b"1e2"])
    spill = Spill(str(tmp_path))
    batches = [EventBatch([plain, plain]), EventBatch([plain, other]), EventBatch([other])]
    spilled = [spill.get(spill.put(batch)) for batch in batches]
    assert [batch.plain for batch in spilled] == [True, False, False]
    assert [unpack(pack(batch)).plain for batch in batches] == [False, False, False]


def test_spill_that_cannot_be_written_names_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    with pytest.raises(StorageError) as raised:
        Spill(str(folder)).put(BATCH)
    assert str(raised.value) == (
        f"{folder}: cannot spill {len(pack(BATCH))} bytes: No such file or directory; TMPDIR chooses another disk"
    )
