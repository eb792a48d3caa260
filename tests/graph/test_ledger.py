from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sluice.cli.main import main
from sluice.elements import RecordBatch, StepCounts, add_step_counts
from sluice.errors import StorageError
from sluice.graph.ledger import (
    Submission,
    check_totals,
    count_read,
    make_report,
    open_totals,
    read_report,
    read_totals,
    write_submission,
    write_totals,
)
from sluice.provenance import FileProvenance

GOOD = {
    ("read", ""): 10,
    ("bytes", ""): 1000,
    ("routed", "order"): 8,
    ("routed", "unknown"): 2,
    ("rejected", "order"): 1,
    ("rejected", "unknown"): 2,
    ("code", "enum"): 1,
    ("code", "not_json"): 2,
    ("accepted", "order"): 5,
    ("duplicates", "order"): 2,
    ("segments", "order"): 3,
    ("loaded", "order"): 4,
    ("load_rejected", "order"): 1,
    ("accepted", "dead_letter"): 3,
    ("duplicates", "dead_letter"): 1,
    ("segments", "dead_letter"): 2,
    ("loaded", "dead_letter"): 3,
}


def test_batch_is_counted_with_its_bytes() -> None:
    batch = RecordBatch([b"abc", b"", b"d"], FileProvenance("file", 0.0, [0, 4, 5]))
    assert count_read(batch) == StepCounts({("read", ""): 3, ("bytes", ""): 4})


def test_report_of_complete_counts_reconciles() -> None:
    made = make_report(StepCounts(GOOD, 0.5, 60.0), job="shop", run_id="r1", started=1e9, seconds=2.0)
    assert made.reconciled
    assert (made.read, made.accepted, made.duplicates, made.rejected) == (10, 5, 2, 3)
    assert (made.loaded, made.load_rejected, made.segments, made.backfilled) == (4, 1, 3, 0)
    assert made.rejections == {"enum": 1, "not_json": 2}
    assert sorted(made.by_type) == ["order", "unknown"]
    assert (made.by_type["order"].read, made.by_type["order"].reconciled) == (8, True)
    assert (made.first_event_time, made.last_event_time) == (
        "1970-01-01T00:00:00.500000Z",
        "1970-01-01T00:01:00Z",
    )
    assert (made.records_per_second, made.bytes, made.started) == (5.0, 1000, "2001-09-09T01:46:40Z")


@pytest.mark.parametrize(
    "figure",
    [key for key in GOOD if key[0] not in ("bytes", "code", "segments") and key != ("loaded", "dead_letter")],
)
def test_report_of_a_lost_or_doubled_record_does_not_reconcile(figure: tuple[str, str]) -> None:
    for change in (-1, 1):
        counts = {**GOOD, figure: GOOD[figure] + change}
        assert not make_report(StepCounts(counts), job="shop", run_id="r", started=0, seconds=1).reconciled


@pytest.mark.parametrize("figure", ["load_rejected", "backfill_rejected"])
def test_dead_letters_that_their_table_lacks_are_a_figure_and_do_not_reconcile(figure: str) -> None:
    counts = {**GOOD, (figure, "dead_letter"): 2}
    made = make_report(StepCounts(counts), job="shop", run_id="r", started=0, seconds=1)
    assert (made.dead_letters_rejected, made.reconciled) == (2, False)


def test_report_of_an_empty_run_reconciles() -> None:
    made = make_report(StepCounts({}), job="shop", run_id="r", started=0, seconds=0)
    assert (made.reconciled, made.read, made.records_per_second, made.first_event_time) == (
        True,
        0,
        0.0,
        None,
    )


STEP_COUNTS = st.builds(
    StepCounts,
    counts=st.dictionaries(st.tuples(st.sampled_from("ab"), st.sampled_from("xy")), st.integers(1, 9)),
    first=st.none() | st.integers(0, 9).map(float),
    last=st.none() | st.integers(0, 9).map(float),
)


@given(st.lists(STEP_COUNTS), st.lists(STEP_COUNTS))
def test_step_counts_add_up_in_any_grouping(some: list[StepCounts], others: list[StepCounts]) -> None:
    assert add_step_counts([add_step_counts(others), add_step_counts(some)]) == add_step_counts(
        [*some, *others]
    )


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


def test_totals_of_a_submitted_job_make_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_submission(str(tmp_path), Submission("shop", "r", 1_700_000_000.0))
    in_flight = {("read", ""): 3, ("routed", "order"): 3, ("accepted", "order"): 3}
    write_totals(StepCounts(in_flight), str(tmp_path), 0)
    assert main(["report", str(tmp_path)]) != 0
    write_totals(StepCounts({("loaded", "order"): 3}), str(tmp_path), 1)
    made = read_report(str(tmp_path))
    assert (made.job, made.run_id, made.started) == ("shop", "r", "2023-11-14T22:13:20Z")
    assert (made.read, made.accepted, made.loaded, made.reconciled) == (3, 3, 3, True)
    assert main(["report", str(tmp_path)]) == 0
    assert "shop" in capsys.readouterr().out


def test_folder_without_totals_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot read run\.json: No such file"):
        read_report(str(tmp_path))


def test_totals_that_are_deleted_while_the_run_lasts_are_an_error(tmp_path: Path) -> None:
    url = str(tmp_path / "totals")
    open_totals(url)
    check_totals(url)
    assert read_totals(url) == StepCounts({})
    shutil.rmtree(url)
    write_totals(StepCounts(GOOD), url, 0)  # makes the folder again
    with pytest.raises(StorageError) as caught:
        check_totals(url)
    assert str(caught.value) == (
        f"{url}: expected the totals of this run, got none: the folder was deleted while the run lasted; what was "
        "stored stays valid: run again"
    )
