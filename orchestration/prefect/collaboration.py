"""Logs of a collaboration platform to tables and metrics as a flow of Prefect: ingest, build, check, export.

Run as a program, it runs the flow once.
"""

from __future__ import annotations

from prefect import flow, task

from orchestration import steps

_SETTINGS = steps.collaboration_settings()


@task(  # type: ignore[untyped-decorator]  # Prefect has an environment of its own
    retries=3, retry_delay_seconds=[60, 120, 240], timeout_seconds=6 * 3600, log_prints=True
)
def run_step(step: steps.Step) -> None:
    """Run one step; what it prints is in the log of its task."""
    step.run()


@flow  # type: ignore[untyped-decorator]  # as above
def collaboration(
    source: str = _SETTINGS["source"],
    warehouse: str = _SETTINGS["warehouse"],
    out: str = _SETTINGS["out"],
) -> None:
    """Turn the logs in `source` into tables of `warehouse`, and into CSV files in `out`."""
    made = [steps.collaboration(name, source, warehouse, out) for name in steps.COLLABORATION]
    for step in made:
        run_step.with_options(name=step.name)(step)


if __name__ == "__main__":
    collaboration()
