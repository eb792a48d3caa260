from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import apache_beam as beam
import msgspec
import pytest
from apache_beam.transforms import trigger
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.windowed_value import PaneInfo, PaneInfoTiming
from hypothesis import given
from hypothesis import strategies as st
from sluice.cli.main import main
from sluice.elements import RecordBatch, StepCounts, add_step_counts
from sluice.errors import StorageError
from sluice.graph.ledger import (
    LOST_DEAD_LETTERS,
    REREAD,
    Figures,
    ReconcileLedger,
    Report,
    _WritePane,
    agree,
    count_read,
    dead_letter_gap,
    make_report,
    read_report,
)
from sluice.graph.submission import Submission, write_submission
from sluice.graph.totals import open_totals, read_totals, write_counted, write_totals
from sluice.graph.windowing import Windowing
from sluice.provenance import FileProvenance, Source
from sluice.source_tallies import SourceTally

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


@pytest.mark.parametrize(
    "tally", [SourceTally(10, 5, 2, 3), SourceTally(10, 5, 3, 2), SourceTally(9, 5, 1, 3), SourceTally(10)]
)
def test_report_reconciles_only_if_its_sources_do(tally: SourceTally) -> None:
    halves = {Source("a"): tally, Source("b"): SourceTally()}
    made = make_report(StepCounts(GOOD, sources=halves), job="shop", run_id="r", started=0, seconds=1)
    figures = (made.read, made.accepted, made.duplicates, made.rejected)
    assert made.sources == 2
    assert made.reconciled == (figures == (tally.read, tally.accepted, tally.duplicates, tally.rejected))


def test_batch_is_counted_with_its_bytes() -> None:
    batch = RecordBatch([b"abc", b"", b"d"], FileProvenance("file", 7.0, [0, 4, 5], size=9))
    tally = SourceTally(read=3, size=9, modified=7.0)
    assert count_read(batch) == StepCounts(
        {("read", ""): 3, ("bytes", ""): 4}, sources={Source("file"): tally}
    )


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


def report(counts: dict[tuple[str, str], int], seconds: float = 1.0) -> Report:
    return make_report(StepCounts(counts), job="shop", run_id="r", started=0, seconds=seconds)


def test_report_has_the_figures_of_each_type_and_their_sums() -> None:
    figures = {
        name: number
        for number, name in enumerate(
            ("accepted", "duplicates", "conflicting", "rejected", "loaded", "load_rejected", "backfilled",
             "segments", "repaired"), 1
        )
    }  # fmt: skip
    counts = {
        (name, kind): number for name, number in figures.items() for kind in ("order", "user", "dead_letter")
    }
    counts |= {("routed", kind): 7 for kind in ("order", "user", "dead_letter", "redelivery", "quarantine")}
    made = report(counts | {REREAD: 12})
    expected = Figures(read=7, **figures, reconciled=False)
    assert made.by_type == {"order": expected, "user": expected}
    assert {name: getattr(made, name) for name in figures} == {name: 2 * n for name, n in figures.items()}
    assert (made.read, made.reread, made.restarts, made.dead_letters_rejected) == (0, 12, 0, 6)
    assert report({("routed", "order"): 0}).by_type == {
        "order": Figures(**dict.fromkeys(("read", *figures), 0), reconciled=True)
    }


@pytest.mark.parametrize(
    ("seconds", "stated", "rate"),
    [(2.34567, 2.346, 4.3), (0.5, 0.5, 20.0), (0.0004, 0.0, 25000.0), (0, 0, 0.0), (-1.0, -1.0, 0.0)],
)
def test_report_rounds_seconds_to_milliseconds_and_the_rate_to_tenths(
    seconds: float, stated: float, rate: float
) -> None:
    made = report({("read", ""): 10}, seconds)
    assert (made.seconds, made.records_per_second) == (stated, rate)


@pytest.mark.parametrize(
    ("counts", "gap"),
    [
        ({("rejected", "order"): 3}, 3),
        ({("conflicting", "order"): 3}, 3),
        ({("load_rejected", "order"): 3}, 3),
        ({("backfill_rejected", "order"): 3}, 3),
        (
            {
                (figure, "order"): 2
                for figure in ("rejected", "conflicting", "load_rejected", "backfill_rejected")
            },
            8,
        ),
        ({(figure, "dead_letter"): 3 for figure in ("rejected", "load_rejected", "backfill_rejected")}, 0),
        ({("accepted", "order"): 3, ("duplicates", "order"): 4}, 0),
        (
            {
                (figure, name): 1
                for figure in ("accepted", "duplicates")
                for name in ("dead_letter", "quarantine")
            },
            -4,
        ),
        ({("rejected", "order"): 5, ("accepted", "dead_letter"): 2, ("duplicates", "quarantine"): 1}, 2),
    ],
)
def test_gap_is_what_the_dead_letter_log_lacks(counts: dict[tuple[str, str], int], gap: int) -> None:
    assert dead_letter_gap(Counter(counts)) == gap


@pytest.mark.parametrize(("lost", "reconciled"), [(0, False), (1, False), (2, True), (3, False)])
def test_dead_letters_that_a_runner_lost_are_no_gap(lost: int, reconciled: bool) -> None:
    counts = {**GOOD, ("accepted", "dead_letter"): 1, LOST_DEAD_LETTERS: lost}
    assert report(counts).reconciled is reconciled


def test_types_that_are_wrong_in_opposite_ways_do_not_reconcile() -> None:
    counts = {
        ("read", ""): 4,
        ("routed", "a"): 3,
        ("routed", "b"): 1,
        ("accepted", "a"): 2,
        ("accepted", "b"): 2,
    }
    made = report(counts | {("loaded", "a"): 2, ("loaded", "b"): 2})
    assert (made.read, made.accepted, made.loaded, made.reconciled) == (4, 4, 4, False)


def test_unknown_names_are_in_order_of_their_numbers_and_the_others_last() -> None:
    names = {"order.b": 2, "order.a": 2, "(others)": 90, "order.c": 7, "user.a": 1}
    counts = {("unknown_property", name): number for name, number in names.items()}
    made = report(counts | {("unknown_type", "nothing"): 1, ("unknown_type", '"x"'): 3})
    assert list(made.unknown_properties.items()) == [
        ("order.c", 7),
        ("order.a", 2),
        ("order.b", 2),
        ("user.a", 1),
        ("(others)", 90),
    ]
    assert list(made.unknown_types.items()) == [('"x"', 3), ("nothing", 1)]


def test_report_of_an_earlier_version_is_read_with_nothing_in_later_figures() -> None:
    stored = msgspec.to_builtins(report(GOOD))
    later: dict[str, Any] = {
        "conflicting": 0,
        "restarts": 0,
        "reread": 0,
        "dead_letters_rejected": 0,
        "failure": None,
        "version": "",
        "ended": "",
        "contracts": {},
        "reasons": {},
    }
    later |= {"unknown_properties": {}, "unknown_types": {}, "warnings": []}
    earlier = {name: value for name, value in stored.items() if name not in later}
    assert msgspec.to_builtins(msgspec.convert(earlier, Report)) == earlier | later


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


def test_totals_of_a_submitted_job_make_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    contracts, places = {"order": "shop.order@1.0.0"}, {"files": "gs://b/out"}
    submission = Submission("shop", "r", 1_700_000_000.0, version="0.1.0", contracts=contracts, places=places)
    write_submission(str(tmp_path), submission)
    in_flight = {("read", ""): 3, ("routed", "order"): 3, ("accepted", "order"): 3}
    write_totals(StepCounts(in_flight), str(tmp_path), 0)
    assert main(["report", str(tmp_path)]) != 0
    write_totals(StepCounts({("loaded", "order"): 3}), str(tmp_path), 1)
    made = read_report(str(tmp_path))
    assert (made.job, made.run_id, made.started) == ("shop", "r", "2023-11-14T22:13:20Z")
    assert (made.version, made.contracts, made.places) == ("0.1.0", contracts, places)
    assert (made.read, made.accepted, made.loaded, made.reconciled) == (3, 3, 3, True)
    assert main(["report", str(tmp_path)]) == 0
    assert "shop" in capsys.readouterr().out


def test_report_of_an_updated_job_joins_the_folders_of_both(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first job dies after it wrote pane 2; the second one continues, and writes it again."""
    folders = [str(tmp_path / name) for name in ("first", "second")]
    panes = [(0, 0, 5), (0, 1, 3), (0, 2, 4), (1, 2, 4), (1, 3, 2)]
    for folder in folders:
        write_submission(folder, Submission("live", Path(folder).name, 1_700_000_000.0, live=True))
    for number, pane, events in panes:
        counts = dict.fromkeys(
            [("read", ""), ("routed", "order"), ("accepted", "order"), ("loaded", "order")], events
        )
        write_totals(StepCounts(counts), folders[number], pane)
    report = read_report(*folders)
    assert (report.read, report.accepted, report.loaded, report.reconciled) == (14, 14, 14, True)
    assert (report.job, report.run_id) == ("live", "first")
    assert main(["report", *folders, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["read"] == 14


def test_folder_without_totals_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot read run\.json: No such file"):
        read_report(str(tmp_path))


@pytest.mark.parametrize(("numbered", "number"), [(True, b"0"), (False, b"null")])
@pytest.mark.parametrize("live", [False, True])
def test_ledger_stores_the_sum_of_each_pane(
    tmp_path: Path, live: bool, numbered: bool, number: bytes
) -> None:
    class OnePane(Windowing):
        def overall(self) -> beam.WindowInto:
            discarding = trigger.AccumulationMode.DISCARDING
            fired = trigger.Repeatedly(trigger.AfterCount(1))
            return beam.WindowInto(GlobalWindows(), trigger=fired, accumulation_mode=discarding)

    counts = [StepCounts({("read", ""): 1}, 1.0, 2.0), StepCounts({("read", ""): 2}, 0.5)]
    with beam.Pipeline() as pipeline:
        parts = pipeline | beam.Create(counts, reshuffle=False)
        parts | ReconcileLedger(str(tmp_path), OnePane(live, 1.0, 0.0), numbered)
    (path,) = tmp_path.iterdir()
    # A second attempt of bounded input replaces the first, so its number is always the same.
    assert path.read_bytes() == b'[[["read","",3]],0.5,2.0,%s]' % (number if live else b"0")


def test_worker_compacts_once_an_hour_and_goes_on_if_that_fails(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    writer = _WritePane(str(tmp_path), True, True, lambda: now)
    one = StepCounts({("read", ""): 1})
    seen = []
    for number, minutes in enumerate((0, 30, 71, 80, 131, 191)):
        now = 472_222 * 3600 + minutes * 60
        if minutes == 191:
            (tmp_path / "compacted").rename(tmp_path / "kept")
            (tmp_path / "compacted").write_bytes(b"")
        pane = PaneInfo(number == 0, False, PaneInfoTiming.EARLY, number, 0)
        assert list(writer.process(one, pane)) == [one]
        seen.append(len(list((tmp_path / "compacted").glob("*"))))
    assert seen == [0, 0, 1, 1, 2, 0]
    (record,) = caplog.records
    assert record.getMessage().startswith("the totals are compacted an hour later: ")
    assert read_totals(str(tmp_path)) == StepCounts({("read", ""): 6})


def test_worker_goes_on_if_a_part_cannot_be_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    hour = 472_222 * 3600
    damaged = tmp_path / f"{hour * 10**9:020d}-ab.json"
    damaged.write_bytes(b"[[[")
    one = StepCounts({("read", ""): 1})
    pane = PaneInfo(True, False, PaneInfoTiming.EARLY, 0, 0)
    writer = _WritePane(str(tmp_path), True, True, lambda: hour + 7200.0)
    assert list(writer.process(one, pane)) == [one]
    (record,) = caplog.records
    assert record.getMessage() == (
        f"the totals are compacted an hour later: {damaged}: expected a part of the totals of a run, got Input data "
        "was truncated; the file was changed: restore it"
    )
    assert not (tmp_path / "compacted").exists()


@pytest.mark.parametrize("parts", [[], [2.5], [0.25, 1.0, 7.125]])
def test_report_of_a_submitted_job_lasts_until_its_last_part(tmp_path: Path, parts: list[float]) -> None:
    started = 1_700_000_000
    write_submission(str(tmp_path), Submission("shop", "r", started))
    open_totals(str(tmp_path))
    write_counted(StepCounts({("read", ""): 50}), str(tmp_path))  # is no part of the totals
    for seconds in parts:
        name = f"{started * 10**9 + int(seconds * 10**9):020d}-ab.json"
        (tmp_path / name).write_bytes(b'[[["read","",2]],null,null,null]')
    made = read_report(str(tmp_path))
    assert (made.read, made.seconds) == (2 * len(parts), max(parts, default=0.0))


@pytest.mark.parametrize(
    ("other", "agreed"),
    [
        (StepCounts({("read", ""): 2, ("routed", "a"): 1}, 1.0, 2.0), True),
        (StepCounts({("routed", "a"): 1, ("read", ""): 2, ("loaded", "a"): 0}, 1.0, 2.0), True),
        (StepCounts({("read", ""): 2, ("routed", "a"): 1, ("unknown_type", "x"): 5}, 1.0, 2.0), True),
        (StepCounts({("read", ""): 2, ("routed", "a"): 2}, 1.0, 2.0), False),
        (StepCounts({("read", ""): 2}, 1.0, 2.0), False),
        (StepCounts({("read", ""): 2, ("routed", "a"): 1}, 1.5, 2.0), False),
        (StepCounts({("read", ""): 2, ("routed", "a"): 1}, 1.0, None), False),
    ],
)
def test_sums_agree_if_all_but_names_and_zeros_are_equal(other: StepCounts, agreed: bool) -> None:
    total = StepCounts({("read", ""): 2, ("routed", "a"): 1, ("unknown_property", "a.b"): 3}, 1.0, 2.0)
    assert (agree(total, other), agree(other, total)) == (agreed, agreed)
