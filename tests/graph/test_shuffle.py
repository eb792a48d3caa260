from __future__ import annotations

import multiprocessing
import tempfile
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


@pytest.mark.parametrize("as_they_are", [0, 50, 1 << 30])
def test_spill_reference_returns_its_batch_in_another_process(tmp_path: Path, as_they_are: int) -> None:
    spill = Spill(str(tmp_path), as_they_are)
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


@given(st.lists(st.lists(PARTS, max_size=3).map(EventBatch), max_size=3), st.integers(0, 100))
def test_spilled_batches_come_back_in_any_order(batches: list[EventBatch], as_they_are: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        spill = Spill(folder, as_they_are)
        references = list(map(spill.put, batches))
        assert [spill.get(reference) for reference in reversed(references)] == batches[::-1]


def test_spill_is_as_it_is_at_first_and_packed_later(tmp_path: Path) -> None:
    batch = EventBatch([OrderedLines("a", 0, [b"x" * 1000] * 1000)])
    spill = Spill(str(tmp_path), 1_500_000)
    sizes = []
    for _ in range(4):
        spill.put(batch)
        (file,) = tmp_path.iterdir()
        sizes.append(file.stat().st_size)
    assert 1_001_000 <= sizes[0] <= 1_001_100
    assert sizes[1] == 2 * sizes[0]
    assert sizes[3] - sizes[2] == sizes[2] - sizes[1] < 10_000


def test_spill_that_cannot_be_written_names_its_folder(tmp_path: Path) -> None:
    Spill(str(tmp_path)).put(BATCH)
    (written,) = tmp_path.iterdir()
    folder = tmp_path / "gone"
    with pytest.raises(StorageError) as raised:
        Spill(str(folder)).put(BATCH)
    assert str(raised.value) == (
        f"{folder}: cannot spill {written.stat().st_size} bytes: No such file or directory; "
        "TMPDIR chooses another disk"
    )
