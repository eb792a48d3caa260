"""The ledger of a submitted job: exact, though its runner goes back to a checkpoint; and `sluice report` reads it."""

from __future__ import annotations

from pathlib import Path

import pytest
from sluice.cli.main import main
from sluice.elements import StepCounts
from sluice.errors import StorageError
from sluice.graph.ledger import read_report, read_totals, write_submission, write_totals


def write(folder: Path, *windowing: tuple[int, int]) -> None:
    for pane, read in windowing:
        write_totals(StepCounts({("read", ""): read}), str(folder), pane)


@pytest.mark.parametrize(
    ("panes", "read"),
    [
        ([(0, 1), (1, 10), (2, 100)], 111),
        ([(0, 1), (1, 10), (1, 20), (2, 100)], 121),  # pane 1 is written again, with what came meanwhile
        ([(0, 1), (1, 10), (2, 100), (1, 110)], 111),  # what filled two panes fills one after the recovery
        ([(0, 1), (1, 10), (0, 11)], 11),  # there was no checkpoint yet
        ([(0, 1), (1, 10), (1, 10), (2, 5), (1, 10), (2, 6)], 17),  # two recoveries
    ],
)
def test_rewritten_pane_replaces_its_successors(
    tmp_path: Path, windowing: list[tuple[int, int]], read: int
) -> None:
    write(tmp_path, *windowing)
    assert read_totals(str(tmp_path)) == StepCounts({("read", ""): read})


def test_totals_of_a_submitted_job_make_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_submission(str(tmp_path), job="shop", run_id="r", started=1_700_000_000.0)
    on_its_way = {("read", ""): 3, ("routed", "order"): 3, ("accepted", "order"): 3}
    write_totals(StepCounts(on_its_way), str(tmp_path), 0)
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
