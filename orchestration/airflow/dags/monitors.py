"""The monitor of each use case, every morning: it judges all days until yesterday, and sends its alerts."""

from __future__ import annotations

from airflow.sdk import DAG

from orchestration.airflow.operator import SCHEDULE, StepOperator, parameters
from orchestration.steps import MONITORS, monitor, monitor_settings

for name in MONITORS:
    with DAG(
        f"monitor_{name}",
        description=f"Monitor of {name}: unusual days, layers that do not balance, stale tables",
        schedule="0 7 * * *",
        params=parameters(monitor_settings(name)),
        tags=["sluice"],
        **SCHEDULE,
    ):
        StepOperator(task_id=name, make_step=monitor)
