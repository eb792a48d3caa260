"""What `sluice check` says of monitor files."""

from __future__ import annotations

from pathlib import Path

from sluice.config.job import load_job, option_fields
from sluice.errors import ConfigError
from sluice.tooling.monitors.reading import expand, load_monitor
from sluice.warehouses import parse_warehouse


def monitor_problems(path: Path) -> list[str]:
    """Return the problems of a monitor file, of its job, and of its warehouse's address.

    Environment variables need not be set: their names stand in for them.
    """
    from sluice.tooling.alerts import read_alerts  # with the clients of mail and HTTP

    try:
        monitor = load_monitor(str(path))
        if monitor.warehouse is not None:
            where = f"{path}: warehouse"
            parse_warehouse(expand(monitor, monitor.warehouse, where, needed=False))
        read_alerts(monitor.alerts, f"{path}: alerts")
        if monitor.job is not None:
            load_job(monitor.job, unused=[field.name for field in option_fields()])
    except ConfigError as error:
        return [str(error)]
    return []
