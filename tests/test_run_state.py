from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import dataclass, field

from sluice.elements import StepCounts
from sluice.run_state import Backlog, RunHandle, RunResources


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
    assert other.state.totals.total("read") == 0


def test_unpickled_handle_finds_one_state_in_another_process() -> None:
    program = """
import pickle, sys
packed = sys.stdin.buffer.read()
first, second = pickle.loads(packed), pickle.loads(packed)
assert first.state is second.state
print(first.state.draining.is_set(), first.state.totals.total("read"))
"""
    handle = RunHandle()
    handle.state.draining.set()
    handle.state.totals.add(StepCounts({("read", ""): 3}))
    done = subprocess.run(
        [sys.executable, "-c", program], input=pickle.dumps(handle), capture_output=True, check=True
    )
    assert done.stdout.split() == [b"False", b"0"]
