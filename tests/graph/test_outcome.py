from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest
from sluice.config.rejections import rejection_limit
from sluice.elements import StepCounts
from sluice.eventlog.log import EventLog
from sluice.eventlog.type_log import TypeLog
from sluice.graph.ledger import Report, make_report
from sluice.graph.outcome import judge, warnings_of, watch_rejections
from sluice.run_state import RunState

from tests.graph.graph_fixture import CONTRACTS, MINUTE, GraphRun, batch, event

KEYED = tuple(replace(prop, unique=prop.name == "id") for prop in CONTRACTS["click"].properties)
READ = ("read", "")


def report(read: int, accepted: int = 0, rejected: int = 0, load_rejected: int = 0) -> Report:
    counts = {
        READ: read,
        ("routed", "click"): read,
        ("accepted", "click"): accepted,
        ("duplicates", "click"): read - accepted - rejected,
        ("rejected", "click"): rejected,
        ("loaded", "click"): accepted - load_rejected,
        ("load_rejected", "click"): load_rejected,
        ("accepted", "dead_letter"): rejected + load_rejected,
    }
    made = make_report(StepCounts(counts), job="shop", run_id="r", started=0, seconds=1)
    assert made.reconciled
    return made


def failure(tmp_path: Path, limit: str | None, made: Report) -> str | None:
    job = replace(
        GraphRun(tmp_path, live=False).job,
        max_rejected=None if limit is None else rejection_limit(limit, "job"),
    )
    return judge(made, job, live=False).failure


@pytest.mark.parametrize(
    ("limit", "made", "reason"),
    [
        (None, report(2, rejected=2), "all 2 records were rejected: no event was added"),
        (
            None,
            report(2, accepted=2, load_rejected=2),
            "all 2 records were rejected: 2 events were added to the event log, 0 of them to the warehouse",
        ),
        (
            "5%",
            report(1000, accepted=940, rejected=51),
            "51 of 1,000 records were rejected, and max_rejected is 5%: 940 events were added to the event log, "
            "940 of them to the warehouse",
        ),
        (
            "0",
            report(3, rejected=1),
            "1 of 3 records were rejected, and max_rejected is 0: no event was added",
        ),
    ],
)
def test_run_that_rejects_too_much_fails_and_says_what_was_stored(
    tmp_path: Path, limit: str | None, made: Report, reason: str
) -> None:
    assert failure(tmp_path, limit, made) == (
        f"{reason}; the dead letters in {tmp_path}/dead have the reasons"
    )


@pytest.mark.parametrize(
    ("limit", "made"),
    [
        (None, report(0)),
        (None, report(2, rejected=1)),
        (None, report(2, accepted=1, rejected=1)),
        (None, report(2)),
        ("100%", report(2, rejected=2)),
        ("50%", report(2, rejected=1)),
        ("1", report(2, rejected=1)),
        ("0", report(2, accepted=2)),
    ],
)
def test_run_within_its_limit_succeeds(tmp_path: Path, limit: str | None, made: Report) -> None:
    assert failure(tmp_path, limit, made) is None


def test_batch_run_that_read_nothing_warns(tmp_path: Path) -> None:
    job = GraphRun(tmp_path, live=False).job
    assert judge(report(0), job, live=False).warnings == ["no records were read: none has none"]
    assert judge(report(0), job, live=True).warnings == []


def test_report_warns_of_unknown_properties_and_types_and_of_conflicts(graph_run: GraphRun) -> None:
    contract = replace(graph_run.job.contracts["click"], properties=KEYED, identity="properties")
    contracts = {**graph_run.job.contracts, "click": contract}
    graph_run.job = replace(graph_run.job, contracts=contracts, path="jobs/shop.yaml")
    graph_run.log = EventLog(graph_run.log.store, {n: TypeLog.of(one) for n, one in contracts.items()})
    graph_run.log.open()
    records = [event(1, MINUTE)[:-1] + b',"colour":"red"}', event(1, MINUTE)]
    records += [event(n, MINUTE, "view")[:-1] + b',"size":{"x":1}}' for n in range(3)]
    records += [event(1, MINUTE, "refund"), event(2, MINUTE, "refund"), b"{}"]
    made = judge(graph_run.run(batch(*records, arrival=MINUTE)), graph_run.job, live=False)
    assert made.reconciled
    assert made.unknown_properties == {"view.size": 3, "click.colour": 1}
    assert made.unknown_types == {'"refund"': 2, "nothing": 1}
    assert made.warnings == [
        "conflicting duplicates: 1; the event log has their keys with other content, and they are dead letters "
        "with the code conflict",
        'event types that no contract of the job has: "refund" (2), nothing (1)',
        "properties that the table has no column for, kept in _extra: view.size (3), click.colour (1); add them "
        "to the contract, then sluice tables jobs/shop.yaml --apply",
    ]


def test_report_warns_of_records_that_the_source_deleted() -> None:
    made = report(2, accepted=2)
    made.lost_at_source = {"kafka://orders/0": 1200, "kafka://orders/3": 1}
    assert warnings_of(made) == [
        "records that the source deleted before they were read (retention): kafka://orders/0 (1,200), "
        "kafka://orders/3 (1)"
    ]


def test_report_warns_of_segments_that_were_left_to_a_run() -> None:
    counts = {("in_work", "click"): 3, ("in_work", "dead_letter"): 1}
    made = make_report(StepCounts(counts), job="shop", run_id="r", started=0, seconds=1)
    assert (made.in_work, made.reconciled) == (4, True)
    assert warnings_of(made) == [
        "segments that are not loaded, and that a run may be loading now: 4; they are younger than 15 minutes, or 1.5 "
        "times retry_for, and were left to that run, since two loads at the same time would double their rows; if "
        "there is none, load again when they are older"
    ]


def test_streaming_run_warns_and_does_not_fail(tmp_path: Path) -> None:
    made = judge(report(2, rejected=2), GraphRun(tmp_path, live=True).job, live=True)
    assert made.failure is None
    assert made.warnings == [
        f"all 2 records were rejected: no event was added; the dead letters in {tmp_path}/dead have the reasons"
    ]


def test_streaming_run_logs_when_it_exceeds_its_limit_and_when_it_no_longer_does(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "sluice")
    run, limit = RunState(), rejection_limit("10%", "job")
    states = []
    for read, rejected in ((10, 1), (5, 2), (1, 0), (50, 0), (1, 1)):
        run.totals.add(StepCounts({READ: read, ("rejected", "click"): rejected}))
        watch_rejections(run, "shop", limit)
        states.append(run.over_limit.is_set())
    assert states == [False, True, True, False, False]
    assert [record.message for record in caplog.records] == [
        "shop: 3 of 15 records were rejected, and max_rejected is 10%; the dead letters have the reasons",
        "shop: 3 of 66 records were rejected, fewer than the limit",
    ]
