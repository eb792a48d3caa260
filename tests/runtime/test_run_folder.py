from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from sluice.elements import StepCounts
from sluice.graph.ledger import make_report
from sluice.graph.totals import open_totals, read_totals, write_totals
from sluice.runtime.run_folder import keep_totals, new_totals, run_folder

COUNTED = StepCounts({("read", ""): 3, ("routed", "a"): 3, ("accepted", "a"): 2}, 1.0, 2.0)


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


class Killed(BaseException):
    """Ends a run where a signal would."""


def test_folder_of_a_run_that_was_killed_while_it_removed_another_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    abandoned = tmp_path / "sluice-run-1"
    for name in ("aaa/b", "lock", "spill/1", "totals/1"):
        (abandoned / name).parent.mkdir(parents=True, exist_ok=True)
        (abandoned / name).write_bytes(b"x")
    remove = shutil.rmtree

    def remove_and_die(path: Path, **options: Any) -> None:
        remove(path, **options)
        raise Killed

    for _ in range(3):  # in the midst of its folders, each time
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(shutil, "rmtree", remove_and_die)
            run_folder().__enter__()
        assert (abandoned / "lock").exists()
    with run_folder() as folder:
        assert [path for path in tmp_path.iterdir() if path.name.startswith("sluice-run-")] == [folder]
    assert list(tmp_path.iterdir()) == []


def kept_of(folder: Path, counted: StepCounts | None, total: StepCounts) -> tuple[Path, str]:
    """Keep the totals of a run in its folder; return where they are once it has ended, and the warning."""
    report = make_report(total, job="j", run_id="r1", started=0, seconds=1)
    totals = new_totals(folder, 1)
    open_totals(totals)
    write_totals(StepCounts({("read", ""): 3}), totals)
    keep_totals(report, totals, counted)
    (warning,) = report.warnings
    return Path(warning.rpartition(" ")[2]), warning


def test_totals_of_a_run_that_does_not_reconcile_outlive_its_folder() -> None:
    with run_folder() as folder:
        kept, warning = kept_of(folder, COUNTED, COUNTED)
    assert not folder.exists()
    assert kept == folder.parent / "sluice-totals-r1"
    assert warning == f"the figures do not reconcile; what the steps counted is kept in {kept}"
    assert read_totals(str(kept)) == StepCounts({("read", ""): 3})
    assert (kept / "counted.json").read_bytes() == (
        b'[[["read","",3],["routed","a",3],["accepted","a",2]],1.0,2.0,null]'
    )


def test_parts_that_are_missing_are_named_though_the_run_reconciles() -> None:
    with run_folder() as folder:
        kept, warning = kept_of(folder, COUNTED, StepCounts({}))
    assert warning == f"parts of the ledger are missing; what the steps counted is kept in {kept}"


def test_totals_elsewhere_stay_where_they_are(tmp_path: Path) -> None:
    kept, _ = kept_of(tmp_path, None, COUNTED)
    assert str(kept) == new_totals(tmp_path, 1)
