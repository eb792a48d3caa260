"""The operator that all DAGs consist of, and what they have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import BaseOperator, Connection, Param
from airflow.sdk.exceptions import AirflowFailException, AirflowNotFoundException

from orchestration.steps import Step

CONNECTION = "sluice_warehouse"
"""The connection with the server, user and password of a PostgreSQL warehouse."""

SCHEDULE: dict[str, Any] = {
    "start_date": datetime(2026, 1, 1, tzinfo=UTC),
    # A run reads all files that it has not read yet. So it makes up for all that did not happen, and there is
    # nothing to catch up; and two at a time would only wait for each other.
    "catchup": False,
    "max_active_runs": 1,
    "default_args": {
        "retries": 3,
        "retry_delay": timedelta(minutes=1),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(minutes=15),
        "execution_timeout": timedelta(hours=6),
    },
}
"""Arguments of every DAG."""


class StepOperator(BaseOperator):
    """Runs one step; the parameters of the DAG run are the arguments of `make_step`."""

    def __init__(self, *, make_step: Callable[..., Step], **arguments: Any) -> None:
        """Take what makes the step from its name, which is the task's, and the parameters."""
        super().__init__(**arguments)
        self.make_step = make_step
        self._step: Step | None = None

    def execute(self, context: Mapping[str, Any]) -> None:
        """Run the step."""
        parameters = dict(context["params"])
        try:
            self._step = self.make_step(self.task_id, **parameters)
        except ValueError as error:
            raise AirflowFailException(str(error)) from None  # no retry would help
        self._step.run(credentials(parameters.get("warehouse", "")))

    def on_kill(self) -> None:
        """End the step when the task is ended."""
        if self._step is not None:
            self._step.terminate()


def parameters(settings: Mapping[str, str]) -> dict[str, Param]:
    """Return the parameters of a DAG: none may be empty."""
    return {name: Param(value, type="string", minLength=1) for name, value in settings.items()}


def credentials(warehouse: str) -> dict[str, str]:
    """Return the variables, for libpq, of the connection to a PostgreSQL warehouse; none if there is no connection."""
    if not warehouse.startswith("postgresql:"):
        return {}
    try:
        connection = Connection.get(CONNECTION)
    except AirflowNotFoundException:
        return {}
    values = {
        "PGHOST": connection.host,
        "PGPORT": connection.port,
        "PGUSER": connection.login,
        "PGPASSWORD": connection.password,
    }
    return {name: str(value) for name, value in values.items() if value}
