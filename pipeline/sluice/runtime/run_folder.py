"""The folder of one run on this machine, and where workers leave what the launcher and each other need."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from apache_beam.options.pipeline_options import PipelineOptions

from sluice.elements import StepCounts
from sluice.graph.ledger import Report
from sluice.graph.progress import Progress
from sluice.graph.shuffle import Spill
from sluice.graph.totals import write_counted
from sluice.runtime.beam_options import temporary_folder

_PREFIX = "sluice-run-"
_LOCK = "lock"


@contextmanager
def run_folder() -> Iterator[Path]:
    """Make the folder of this run, which ends with it, and remove those of killed runs: nobody holds their lock."""
    for abandoned in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_LOCK}"):
        # OSError: its owner lives, or it is gone just now
        with suppress(OSError), abandoned.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _empty(abandoned.parent)
            shutil.rmtree(abandoned.parent)
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as name:
        new = Path(name) / f"{_LOCK}.new"
        with new.open("xb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            new.rename(Path(name) / _LOCK)  # never seen without its lock held
            before, tempfile.tempdir = tempfile.tempdir, name  # Beam's temporary files go with the folder
            try:
                yield Path(name)
            finally:
                tempfile.tempdir = before
                with suppress(FileNotFoundError):  # somebody has removed it
                    _empty(Path(name))


def _empty(folder: Path) -> None:
    """Remove all that a run's folder holds but its lock: a folder without one would never be removed."""
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        elif entry.name != _LOCK:
            entry.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class SharedFolders:
    """Where workers leave, while a run lasts, what the launcher and the other workers read."""

    totals: str
    progress: Progress | None = None
    spill: Spill | None = None

    @classmethod
    def on_this_machine(cls, folder: Path) -> SharedFolders:
        """Return folders within the run's own."""
        for name in ("totals", "progress", "spill"):
            (folder / name).mkdir()
        return cls(str(folder / "totals"), Progress(str(folder / "progress")), Spill(str(folder / "spill")))

    @classmethod
    def elsewhere(cls, options: PipelineOptions, folder: Path, run_id: str) -> SharedFolders:
        """Return a folder that all machines reach: below Beam's `--temp_location`, if there is one."""
        temporary = temporary_folder(options)
        return cls(f"{temporary}/sluice/{run_id}" if temporary else str(folder / "totals"))


def new_totals(folder: Path, number: int) -> str:
    """Return the folder for the totals of graph `number` of a run, within the run's own."""
    return str(folder / f"totals{number}")


def keep_totals(report: Report, totals: str, counted: StepCounts | None = None) -> None:
    """Keep the totals of a run whose figures disagree, and name their folder in the warnings of its report.

    `counted` is what the steps counted in this process, where they did; it is kept beside the parts of the ledger.
    """
    kept = totals
    if Path(totals).parent.name.startswith(_PREFIX):  # that folder ends with the run
        kept = str(Path(totals).parents[1] / f"sluice-totals-{report.run_id}")
        shutil.copytree(totals, kept, dirs_exist_ok=True)
    if counted is not None:
        write_counted(counted, kept)
    what = "the figures do not reconcile" if not report.reconciled else "parts of the ledger are missing"
    report.warnings.append(f"{what}; what the steps counted is kept in {kept}")
