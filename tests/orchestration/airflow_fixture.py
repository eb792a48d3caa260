"""Airflow with its home, and a metadata database in SQLite, in a folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from subprocess import PIPE, STDOUT
from typing import Any

from devservers.tools import ROOT, require_path

_DESCRIBE = """
import json
from airflow.dag_processing.dagbag import DagBag

bag = DagBag()
dags = {
    name: {
        "schedule": dag.schedule,
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "retries": sorted({task.retries for task in dag.tasks}),
        "next": {task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks},
    }
    for name, dag in bag.dags.items()
}
print(json.dumps({"errors": bag.import_errors, "dags": dags}))
"""


class Airflow:
    """An installation of Airflow, which knows the DAGs of the repository."""

    def __init__(self, home: Path, variables: Mapping[str, str]) -> None:
        self.home = home
        self._environment = {
            **os.environ,
            **variables,
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "orchestration/airflow/dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "PYTHONPATH": str(ROOT),
        }

    def start_from(self, migrated: Path) -> None:
        """Take the metadata database of another home: to make one takes Airflow half a minute."""
        self.home.mkdir()
        for file in migrated.glob("airflow.db*"):  # with what SQLite has not written back yet
            shutil.copy2(file, self.home)

    def call(self, *arguments: str) -> str:
        """Run a command of Airflow; return what it printed."""
        return self._run("-m", "airflow", *arguments)

    def dags(self) -> Any:
        """Import the DAGs as its scheduler does; return errors, and what matters of each DAG."""
        return json.loads(self._run("-c", _DESCRIBE).splitlines()[-1])

    def _run(self, *arguments: str) -> str:
        command: list[str | Path] = [require_path("airflow/bin/python"), *arguments]
        done = subprocess.run(
            command, env=self._environment, stdout=PIPE, stderr=STDOUT, text=True, timeout=800, check=False
        )
        assert done.returncode == 0, done.stdout
        return done.stdout
