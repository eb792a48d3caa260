from __future__ import annotations

from prometheus_client import generate_latest
from sluice.acknowledgements import PendingAcks
from sluice.elements import StepCounts
from sluice.run_state import Activity, Backlog, RunState
from sluice.runtime.prometheus import registry_of
from sluice.timeline import WindowEvents

SECOND = 1_000_000


def test_state_of_a_run_is_served() -> None:
    run = RunState(
        acks=PendingAcks(lambda: 5.0),
        backlog=Backlog(lambda: 5.0),
        activity=Activity(lambda: 5.0),
        restarts=2,
    )
    run.acks.issue(4, 40, lambda: None)
    run.backlog.set("kafka://t", 0, 7)
    run.lost.add("kafka://t", 3, 10, 16)
    counts = {
        ("read", ""): 9,
        ("accepted", "order"): 3,
        ("code", "enum"): 2,
        ("unknown_property", "order.colour"): 4,
        ("unknown_type", '"refund"'): 5,
    }
    run.totals.add(StepCounts(counts, windows=[WindowEvents(10 * SECOND, 20 * SECOND, "order", 3)]))
    served = generate_latest(registry_of(run)).decode().splitlines()
    assert [line for line in served if not line.startswith("#")] == [
        "sluice_read_total 9.0",
        "sluice_bytes_total 0.0",
        'sluice_accepted_total{event_type="order"} 3.0',
        'sluice_rejected_by_code_total{code="enum"} 2.0',
        'sluice_unknown_types_total{event_type="\\"refund\\""} 5.0',
        'sluice_unknown_properties_total{property="order.colour"} 4.0',
        "sluice_unacknowledged_records 4.0",
        "sluice_unacknowledged_bytes 40.0",
        "sluice_oldest_unacknowledged_seconds 0.0",
        "sluice_rejections_over_limit 0.0",
        "sluice_source_silent_seconds 0.0",
        "sluice_runner_idle_seconds 0.0",
        "sluice_restarts_total 2.0",
        'sluice_lost_at_source_total{partition="3",source="kafka://t"} 6.0',
        "sluice_backlog_records 7.0",
        "sluice_loaded_until_seconds 20.0",
    ]


def test_backlog_of_a_source_that_no_longer_answers_is_left_out() -> None:
    now = [0.0]
    run = RunState(backlog=Backlog(lambda: now[0]))
    run.backlog.answered("kafka://t", 0)
    run.backlog.set("kafka://t", 0, 0)
    now[0] = 60.0
    assert b"sluice_backlog_records 0.0" in generate_latest(registry_of(run))
    now[0] = 60.1
    assert b"backlog" not in generate_latest(registry_of(run))


def test_backlog_that_the_source_does_not_report_is_left_out() -> None:
    assert b"backlog" not in generate_latest(registry_of(RunState()))
