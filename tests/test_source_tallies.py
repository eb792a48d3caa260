"""Tallies of sources: how batches add to them, and how lines that were appended together are given to their sources."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sluice.provenance import FileProvenance, MessageProvenance, PartitionProvenance, Provenance, Source
from sluice.source_tallies import (
    SourceTallies,
    SourceTally,
    add_tallies,
    add_up,
    settled_tally,
    subtract_tally,
    tally_read,
    tally_stored,
)

TALLIES = st.builds(
    SourceTally,
    *[st.integers(0, 9)] * 4,
    *[st.none() | st.floats(-5, 5)] * 2,
    *[st.none() | st.integers(0, 9)] * 4,
    st.none() | st.sampled_from("ab"),
)


@given(TALLIES, TALLIES, TALLIES)
def test_sum_of_tallies_is_associative_and_commutative(
    a: SourceTally, b: SourceTally, c: SourceTally
) -> None:
    assert add_tallies(a, b) == add_tallies(b, a)
    assert add_tallies(add_tallies(a, b), c) == add_tallies(a, add_tallies(b, c))
    assert add_tallies(a, SourceTally()) == a


@given(TALLIES, TALLIES)
def test_tally_is_the_sum_of_what_was_written_and_of_the_rest(
    written: SourceTally, later: SourceTally
) -> None:
    total = add_tallies(written, later)
    rest = subtract_tally(total, written)
    assert (rest.start, rest.end, rest.first, rest.last) == (written.end, total.end, total.first, total.last)
    both = add_tallies(written, rest)
    assert (both.read, both.accepted, both.duplicates, both.rejected) == (
        *(total.read, total.accepted, total.duplicates, total.rejected),
    )


def test_settled_tally_has_no_record_of_which_nothing_is_known() -> None:
    assert settled_tally(SourceTally(9, 1, 2, 3, start=4, end=13)) == SourceTally(6, 1, 2, 3, start=4, end=13)


def test_sum_has_the_first_and_the_last_of_times_and_offsets() -> None:
    some = SourceTally(3, 1, 1, 1, 5.0, 9.0, 100, 7.0, 10, 13)
    others = SourceTally(2, 0, 2, 0, 6.0, 10.0, 100, 7.0, 13, 15)
    assert add_tallies(some, others) == SourceTally(5, 1, 3, 1, 5.0, 10.0, 100, 7.0, 10, 15)


@pytest.mark.parametrize(
    ("provenance", "records", "span", "tally"),
    [
        (FileProvenance("a", 5.0, [0, 9], size=20), 2, None, SourceTally(2, size=20, modified=5.0)),
        (
            FileProvenance("a", 5.0, [0], size=20, etag="x"),
            *(1, None, SourceTally(1, size=20, modified=5.0, etag="x")),
        ),
        (FileProvenance("a", 5.0, [], size=0), 0, None, SourceTally(0, size=0, modified=5.0)),
        (PartitionProvenance("k", 1.0, 3, [7, 9], [1.0, 1.0]), 2, None, SourceTally(2, start=7, end=10)),
        (PartitionProvenance("k", 1.0, 3, [7, 9], [1.0, 1.0]), 2, (5, 12), SourceTally(2, start=5, end=12)),
        (PartitionProvenance("k", 1.0, 3, [], []), 0, (5, 6), SourceTally(0, start=5, end=6)),
        (PartitionProvenance("k", 1.0, 3, [], []), 0, None, SourceTally()),
        (MessageProvenance("p", 1.0, ["x"], [1.0]), 1, None, SourceTally(1)),
    ],
)
def test_batch_is_tallied_as_its_provenance_says(
    provenance: Provenance, records: int, span: tuple[int, int] | None, tally: SourceTally
) -> None:
    assert tally_read(provenance, records, span) == tally


@given(st.lists(st.lists(st.booleans(), max_size=5), max_size=6))
def test_each_line_is_stored_or_a_duplicate_of_its_own_source(groups: list[list[bool]]) -> None:
    """A flag says whether a line is stored."""
    sources = [Source(f"file {number % 3}") for number in range(len(groups))]
    lines = [(source, len(group)) for source, group in zip(sources, groups, strict=True)]
    expected, complete = SourceTallies(), SourceTallies()
    for source, group in zip(sources, groups, strict=True):
        expected.add(source, SourceTally(accepted=sum(group), duplicates=len(group) - sum(group)))
        complete.add(source, SourceTally(accepted=len(group)))
    assert tally_stored(lines, bytes(flag for group in groups for flag in group)) == expected.by_source
    assert tally_stored(lines, None) == complete.by_source


def test_source_that_is_not_balanced_is_found() -> None:
    balanced, other = SourceTally(3, 1, 1, 1), SourceTally(2, 1, 0, 0)
    assert add_up([], (5, 1, 1, 1))
    assert add_up([balanced, balanced], (6, 2, 2, 2))
    assert not add_up([balanced, balanced], (6, 3, 1, 2))
    assert not add_up([balanced, other], (5, 2, 1, 1))
