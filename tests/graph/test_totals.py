from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sluice.elements import StepCounts
from sluice.errors import StorageError
from sluice.graph import totals
from sluice.graph.totals import (
    check_totals,
    compact_totals,
    next_compaction,
    open_totals,
    read_folders,
    read_totals,
    write_totals,
)
from sluice.provenance import Source
from sluice.source_tallies import SourceTally


def test_totals_written_in_parts_add_up(tmp_path: Path) -> None:
    write_totals(StepCounts({("read", ""): 2, ("code", "enum"): 1}, 1.0, 2.0), str(tmp_path))
    write_totals(StepCounts({("read", ""): 3}, 0.5, 1.5), str(tmp_path))
    assert read_totals(str(tmp_path)) == StepCounts({("read", ""): 5, ("code", "enum"): 1}, 0.5, 2.0)


@pytest.mark.parametrize(
    ("panes", "read"),
    [
        ([(0, 1), (1, 10), (2, 100)], 111),
        ([(1, 10), (0, 1), (2, 100)], 111),  # Prism writes panes in any order
        ([(None, 1), (None, 10), (0, 100), (0, 1000)], 1011),  # those without a pane are never replaced
        ([(0, 1), (1, 10), (1, 20), (2, 100)], 121),  # pane 1 is written again, with what came meanwhile
        ([(0, 1), (1, 10), (2, 100), (1, 110)], 111),  # what filled two panes fills one after the recovery
        ([(0, 1), (1, 10), (0, 11)], 11),  # there was no checkpoint yet
        (
            [(0, 1), (1, 10), (2, 100), (1, 1000), (2, 10000)],
            11001,
        ),  # a recovery to where only pane 0 was complete
        ([(0, 1), (1, 10), (1, 10), (2, 5), (1, 10), (2, 6)], 17),  # two recoveries
    ],
)
def test_rewritten_pane_replaces_its_successors(
    tmp_path: Path, panes: list[tuple[int | None, int]], read: int
) -> None:
    for pane, number in panes:
        write_totals(StepCounts({("read", ""): number}), str(tmp_path), pane)
    assert read_totals(str(tmp_path)) == StepCounts({("read", ""): read})


def test_totals_that_are_deleted_while_the_run_lasts_are_an_error(tmp_path: Path) -> None:
    url = str(tmp_path / "totals")
    open_totals(url)
    check_totals(url)
    assert read_totals(url) == StepCounts({})
    shutil.rmtree(url)
    write_totals(StepCounts({("read", ""): 3}), url, 0)  # makes the folder again
    with pytest.raises(StorageError) as caught:
        check_totals(url)
    assert str(caught.value) == (
        f"{url}: expected the totals of this run, got none: the folder was deleted while the run lasted; what was "
        "stored stays valid: run again"
    )


def test_part_is_stored_as_earlier_versions_read_it(tmp_path: Path) -> None:
    write_totals(StepCounts({("read", ""): 2}, 1.0, None), str(tmp_path), 3)
    (path,) = tmp_path.iterdir()
    assert path.read_bytes() == b'[[["read","",2]],1.0,null,3]'


HOUR = 3600
START = 472_222 * HOUR
"""A full hour, in epoch seconds."""


def write_part(folder: Path, second: float, pane: int | None, read: int) -> None:
    """Write a part as a worker does whose clock says so many seconds after START."""
    part = [[["read", "", read]], None, None, pane]
    name = f"{(START + int(second)) * 10**9:020d}-{len(list(folder.glob('*'))):03d}.json"
    (folder / name).write_bytes(msgspec.json.encode(part))


def compacted(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "compacted").glob("*"))


def expected(parts: list[tuple[int | None, int]]) -> int:
    """Return the sum of the parts that count, each added in the order of writing."""
    panes: dict[int, int] = {}
    for pane, read in parts:
        if pane in panes:
            panes = {number: earlier for number, earlier in panes.items() if number < pane}
        if pane is not None:
            panes[pane] = read
    return sum(panes.values()) + sum(read for pane, read in parts if pane is None)


def test_hours_that_have_ended_are_compacted_once(tmp_path: Path) -> None:
    for second in range(0, 3 * HOUR, 600):
        write_part(tmp_path, second, second // 600, 1)
    compact_totals(str(tmp_path), START + HOUR + 599)
    assert compacted(tmp_path) == []  # workers whose clocks are slow may still write
    for now, names in [
        (HOUR + 600, [1]),
        (2 * HOUR + 599, [1]),
        (2 * HOUR + 600, [1, 2]),
        (9 * HOUR, [1, 2, 8]),
    ]:
        compact_totals(str(tmp_path), START + now)
        assert compacted(tmp_path) == [f"{(START + hour * HOUR) * 10**9:020d}.json" for hour in names]
        assert read_folders(str(tmp_path)) == (StepCounts({("read", ""): 18}), START + 17 * 600)
    compact_totals(str(tmp_path), START + 99 * HOUR)
    assert len(compacted(tmp_path)) == 3  # no part was written since


def test_next_compaction_is_ten_minutes_after_an_hour() -> None:
    nexts = {seconds: next_compaction(START + seconds) - START for seconds in (0, 599.5, 600, 4199, 4200)}
    assert nexts == {0: 600, 599.5: 600, 600: 4200, 4199: 4200, 4200: 7800}


def test_compacted_parts_are_not_read_again(tmp_path: Path) -> None:
    for pane in range(300):
        write_part(tmp_path, pane * 10, pane, 1)
    parts = list(tmp_path.glob("*.json"))
    compact_totals(str(tmp_path), START + 2 * HOUR)
    write_part(tmp_path, 2 * HOUR, 300, 1)
    for part in parts:
        part.write_bytes(b"not read")
    assert read_totals(str(tmp_path)) == StepCounts({("read", ""): 301})
    write_part(tmp_path, 2 * HOUR, 250, 7)  # one of the panes that are kept alone
    assert read_totals(str(tmp_path)) == StepCounts({("read", ""): 257})
    write_part(tmp_path, 2 * HOUR, 199, 7)  # one that is only in the sum: all parts are needed
    with pytest.raises(StorageError) as caught:
        read_totals(str(tmp_path))
    assert str(caught.value).startswith(f"{min(parts)}: expected a part of the totals of a run, got ")


@pytest.mark.parametrize(
    "content", [b"", b"not JSON", b"[1]", b'["\xff"]', b"[1,null,null,null,null,[],[],[[[],null,null,null]]]"]
)
def test_parts_are_read_where_what_was_compacted_cannot_be(tmp_path: Path, content: bytes) -> None:
    for pane in range(3):
        write_part(tmp_path, pane * HOUR, pane, 1)
    compact_totals(str(tmp_path), START + 2 * HOUR)
    (first,) = (tmp_path / "compacted").iterdir()
    whole = first.read_bytes()
    first.write_bytes(content)
    assert read_totals(str(tmp_path)) == StepCounts({("read", ""): 3})
    compact_totals(str(tmp_path), START + 4 * HOUR)  # ends that
    for part in tmp_path.glob("*.json"):
        part.write_bytes(b"not read")
    assert read_totals(str(tmp_path)) == StepCounts({("read", ""): 3})
    assert first.read_bytes() != whole


def test_compacted_totals_have_all_that_parts_have(tmp_path: Path) -> None:
    counts = StepCounts(
        {("read", ""): 2, ("code", "enum"): 1},
        1.0,
        2.0,
        sources={Source("a", 3): SourceTally(read=2, size=9)},
    )
    for pane in (None, *range(110)):
        write_totals(counts, str(tmp_path), pane)
    before = read_totals(str(tmp_path))
    compact_totals(str(tmp_path), 4e9)
    for part in tmp_path.glob("*.json"):
        part.unlink()
    assert read_totals(str(tmp_path)) == before
    assert before.counts == {("read", ""): 222, ("code", "enum"): 111}
    assert before.sources == {Source("a", 3): SourceTally(read=222, size=9)}


def test_pane_zero_that_is_only_in_a_sum_is_replaced_as_any_other(tmp_path: Path) -> None:
    folders = [tmp_path / "first", tmp_path / "second"]
    for read, folder in enumerate(folders, 1):
        (folder / "compacted").mkdir(parents=True)
        write_part(folder, 0, 0, read)
        until = (START + HOUR) * 10**9
        settled = [[["read", "", read]], None, None, None]
        sums = msgspec.json.encode([until, START, 0, 0, 0, [[], None, None, None], settled, []])
        (folder / "compacted" / f"{until:020d}.json").write_bytes(sums)
    assert read_folders(*map(str, folders))[0] == StepCounts({("read", ""): 2})


PARTS = st.lists(st.tuples(st.none() | st.integers(0, 6), st.integers(1, 9)), max_size=12)


@settings(max_examples=50)
@given(first=PARTS, second=PARTS, hours=st.sets(st.integers(1, 24)))
def test_compaction_never_changes_a_sum(
    tmp_path_factory: pytest.TempPathFactory,
    first: list[tuple[int | None, int]],
    second: list[tuple[int | None, int]],
    hours: set[int],
) -> None:
    """Whatever a job and the one that replaced it wrote, in whichever order, and whenever it was compacted."""
    folder = tmp_path_factory.mktemp("totals")
    folders = [folder / "first", folder / "second"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(totals, "_ALONE", 2)
        hour = 0
        for path, parts in zip(folders, (first, second), strict=True):
            path.mkdir()
            for pane, read in parts:
                write_part(path, hour * HOUR, pane, read)
                hour += 1
                if hour in hours:
                    compact_totals(str(path), START + hour * HOUR + 600)
            assert read_totals(str(path)).counts.get(("read", ""), 0) == expected(parts)
        both, _ = read_folders(*map(str, folders))
    assert both.counts.get(("read", ""), 0) == expected([*first, *second])
    shutil.rmtree(folder)
