from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import dataclass, field

import pytest
from sluice.elements import StepCounts
from sluice.errors import SourceError, WorkerError
from sluice.run_state import Activity, Backlog, LostRecords, RunHandle, RunResources, RunState


@dataclass
class Connection:
    name: str
    closed: list[str] = field(default_factory=list)

    def close(self) -> None:
        self.closed.append(self.name)


def test_resource_is_opened_by_the_first_step_that_asks() -> None:
    resources = RunResources()
    connection = resources.get("broker", lambda: Connection("first"))
    assert resources.get("broker", lambda: Connection("second")) is connection
    assert resources.get("other", lambda: Connection("third")).name == "third"


def test_resources_are_closed_once_and_the_latest_first() -> None:
    resources, closed = RunResources(), list[str]()
    for name in ("first", "second"):
        resources.get(name, lambda name=name: Connection(name, closed))  # type: ignore[misc]  # mypy does not infer a lambda with a default
    resources.close()
    resources.close()
    assert closed == ["second", "first"]


@pytest.mark.parametrize(
    ("ranges", "number"),
    [
        ([(3, 3)], 0),
        ([(5, 3)], 0),
        ([(0, 4)], 4),
        ([(0, 4), (0, 4)], 4),
        ([(0, 4), (2, 6)], 6),
        ([(0, 4), (10, 13)], 7),
        ([(2, 6), (0, 4)], 4),
    ],
)
def test_lost_records_are_counted_once(ranges: list[tuple[int, int]], number: int) -> None:
    lost = LostRecords()
    lost.add("kafka://t", 1, 0, 2)
    for first, end in ranges:
        lost.add("kafka://t", 0, first, end)
    assert (
        lost.numbers() == {("kafka://t", 0): number, ("kafka://t", 1): 2} if number else {("kafka://t", 1): 2}
    )


def test_backlog_is_the_sum_of_what_each_part_saw_last() -> None:
    backlog = Backlog()
    assert backlog.total() is None
    backlog.set("kafka://t", 0, 5)
    backlog.set("kafka://t", 1, 2)
    backlog.set("kafka://t", 0, 3)
    assert backlog.total() == 5


def test_unpickled_handle_finds_the_state_of_the_same_run_in_this_process() -> None:
    handle, other = RunHandle(), RunHandle()
    sent = pickle.dumps(handle)
    _ = other.state, RunHandle().state  # the latest that is asked for is kept alive by Beam
    handle.state.totals.add(StepCounts({("read", ""): 3}))
    assert pickle.loads(sent).state is handle.state
    assert other.state is not handle.state
    assert other.state.totals.counts() == {}


def test_unpickled_handle_finds_one_state_in_another_process() -> None:
    program = """
import pickle, sys
packed = sys.stdin.buffer.read()
first, second = pickle.loads(packed), pickle.loads(packed)
assert first.state is second.state
print(first.state.draining.is_set(), first.state.totals.counts().total())
"""
    handle = RunHandle()
    handle.state.draining.set()
    handle.state.totals.add(StepCounts({("read", ""): 3}))
    done = subprocess.run(
        [sys.executable, "-c", program], input=pickle.dumps(handle), capture_output=True, check=True
    )
    assert done.stdout.split() == [b"False", b"0"]


def test_resources_of_a_graph_that_has_ended_open_nothing() -> None:
    resources = RunResources()
    resources.close()
    with pytest.raises(WorkerError, match=r"^the graph of this step has ended"):
        resources.get("broker", lambda: Connection("late"))


def test_source_is_silent_for_as_long_as_one_of_its_parts() -> None:
    now = [0.0]
    backlog = Backlog(lambda: now[0])
    assert not backlog.has_answered()
    now[0] = 3.0
    assert backlog.silent() == 3.0  # since the run began
    backlog.answered("kafka://t", 0)
    now[0] = 5.0
    backlog.answered("kafka://t", 1)
    now[0] = 10.0
    assert (backlog.silent(), backlog.has_answered()) == (7.0, True)


def test_activity_is_idle_while_no_step_works() -> None:
    now = [0.0]
    activity = Activity(lambda: now[0])
    now[0] = 5.0
    assert (activity.idle(), activity.began, activity.is_storing()) == (5.0, False, False)
    with activity.at_work(), activity.at_work(stores=True):
        now[0] = 50.0
        assert (activity.idle(), activity.began, activity.is_storing()) == (0.0, True, True)
    now[0] = 52.0
    assert activity.idle() == 2.0
    with activity.at_work():
        assert not activity.is_storing()
    now[0] = 54.0
    assert activity.idle() == 2.0
    activity.excuse()
    assert activity.idle() == 0.0


def test_next_graph_shares_what_is_of_the_run_alone() -> None:
    run = RunHandle().state
    first, second = run.next_graph(), run.next_graph()
    first.counted.add(StepCounts({("read", ""): 3}))
    first.acks.issue(3, 3, lambda: None)
    first.fail(SourceError("gone"))
    first.resources.close()
    assert second.counted.total().counts == {}
    assert (run.acks, run.activity) == (second.acks, second.activity)
    assert run.acks.outstanding().records == 0
    assert (second.draining.is_set(), str(run.failure)) == (True, "gone")
    assert second.resources.get("broker", lambda: Connection("new")).name == "new"
    assert (second.totals, second.backlog, second.new_segments) == (run.totals, run.backlog, run.new_segments)


def test_first_failure_drains_the_run(caplog: pytest.LogCaptureFixture) -> None:
    run = RunState()
    for reason in ("the topic is another one", "so is the next"):
        run.fail(SourceError(reason))
    assert (str(run.failure), run.draining.is_set()) == ("the topic is another one", True)
    assert caplog.messages == ["the topic is another one; draining: what was read is stored and acknowledged"]
