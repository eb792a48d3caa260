"""The monitor of a use case as a flow of Prefect: it judges all days until yesterday, and sends its alerts.

Run as a program, it runs the flow once.
"""

from __future__ import annotations

from prefect import flow

from orchestration import steps
from orchestration.prefect.collaboration import run_step


@flow  # type: ignore[untyped-decorator]  # Prefect has an environment of its own
def monitor(name: str = "collaboration", warehouse: str = "", out: str = "") -> None:
    """Run the monitor of a use case; what is empty is that of `steps.monitor_settings`."""
    given = {key: value for key, value in (("warehouse", warehouse), ("out", out)) if value}
    step = steps.monitor(name, **(steps.monitor_settings(name) | given))
    run_step.with_options(name=name)(step)


if __name__ == "__main__":
    monitor()
