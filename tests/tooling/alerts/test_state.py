"""What was sent is remembered in snapshots; of two runs, one sends at a time."""

from __future__ import annotations

from pathlib import Path

import pytest
from sluice.errors import StorageError
from sluice.storage.local import LocalStore
from sluice.tooling.alerts.state import AlertKey, AlertState

from tests.tooling.alerts.examples import NOW, finding

KEY = AlertKey.of(finding())
OTHER = AlertKey.of(finding(metric="sales"))


class Time:
    """A clock that only sleeping moves on."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def state(folder: Path, time: Time | None = None) -> AlertState:
    time = time or Time()
    return AlertState(LocalStore(str(folder)), clock=time, sleep=time.sleep)


def test_new_folder_holds_nothing(tmp_path: Path) -> None:
    assert state(tmp_path / "new").read() == {}
    assert not (tmp_path / "new").exists()


def test_changes_are_written_when_the_lease_ends(tmp_path: Path) -> None:
    with state(tmp_path).lease(60) as (before, changes):
        assert before == {}
        changes.sent["slack"] = {KEY: 1.0, OTHER: 2.0}
        assert state(tmp_path).read() == {}
    with state(tmp_path).lease(60) as (before, changes):
        assert before == {"slack": {KEY: 1.0, OTHER: 2.0}}
        changes.sent["slack"] = {OTHER: 3.0}
        changes.forgotten["slack"] = {KEY}
    assert state(tmp_path).read() == {"slack": {OTHER: 3.0}}
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"{number:08d}.json" for number in range(1, 5)
    ]


def test_changes_are_written_although_the_run_fails(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), state(tmp_path).lease(60) as (_, changes):
        changes.sent["slack"] = {KEY: 1.0}
        raise KeyboardInterrupt
    assert state(tmp_path).read() == {"slack": {KEY: 1.0}}


def test_second_run_waits_until_the_first_ends(tmp_path: Path) -> None:
    first = state(tmp_path).lease(60)
    _, changes = first.__enter__()
    time = Time()

    def end_first(seconds: float) -> None:
        time.sleep(seconds)
        if time.now == NOW + seconds:
            changes.sent["slack"] = {KEY: 1.0}
            first.__exit__(None, None, None)

    second = AlertState(LocalStore(str(tmp_path)), clock=time, sleep=end_first)
    with second.lease(60) as (before, _):
        assert before == {"slack": {KEY: 1.0}}
    assert time.now == NOW + 0.2


@pytest.mark.parametrize("ahead", [0.0, 1e9])  # the dead run's clock may have been wrong
def test_run_that_died_is_overtaken(tmp_path: Path, ahead: float) -> None:
    dead = Time()
    dead.now += ahead
    abandoned = state(tmp_path, dead).lease(60)
    abandoned.__enter__()
    time = Time()
    with state(tmp_path, time).lease(60) as (before, changes):
        assert before == {}
        changes.sent["slack"] = {KEY: 1.0}
    assert time.now == pytest.approx(NOW + 60, abs=0.5)
    abandoned.__exit__(None, None, None)  # it was only slow: what the other one wrote stays
    assert state(tmp_path).read() == {"slack": {KEY: 1.0}}


def test_other_files_of_the_folder_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "alerts.csv").write_text("metric\n")
    (tmp_path / "99999999.json.bak").write_text("{")
    assert state(tmp_path).read() == {}


@pytest.mark.parametrize(
    "content", ["", "[]", '{"channels": {"slack": [{}]}}', "{", '{"channels": {"slack": [1]}}']
)
def test_damaged_snapshot_is_an_error_with_the_way_out(tmp_path: Path, content: str) -> None:
    (tmp_path / "00000007.json").write_text(content)
    with pytest.raises(StorageError) as error:
        state(tmp_path).read()
    message = str(error.value)
    assert message.startswith(
        f"{tmp_path}/00000007.json: expected what was sent to the channels of alerts, got a damaged file: "
    )
    assert message.endswith("; delete it to go back to the one before")
