"""Logs of a collaboration platform to tables and metrics, every hour: ingest, build, check, export."""

from __future__ import annotations

from airflow.sdk import DAG, chain

from orchestration.airflow.operator import SCHEDULE, StepOperator, parameters
from orchestration.steps import COLLABORATION, collaboration, collaboration_settings

with DAG(
    "collaboration",
    description="Logs of a collaboration platform to tables and metrics",
    schedule="@hourly",
    params=parameters(collaboration_settings()),
    tags=["sluice"],
    **SCHEDULE,
):
    chain(*(StepOperator(task_id=name, make_step=collaboration) for name in COLLABORATION))
