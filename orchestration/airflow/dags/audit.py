"""The audit of daily files, every morning: ingest, then dbt and Spark, then their comparison."""

from __future__ import annotations

from airflow.sdk import DAG

from orchestration.airflow.operator import SCHEDULE, StepOperator, parameters
from orchestration.steps import AUDIT, audit, audit_settings

with DAG(
    "audit",
    description="Daily files, audited by dbt and by Spark",
    schedule="0 6 * * *",
    params=parameters(audit_settings()),
    tags=["sluice"],
    **SCHEDULE,
):
    ingest, dbt, spark, compare = (StepOperator(task_id=name, make_step=audit) for name in AUDIT)
    ingest >> [dbt, spark] >> compare
