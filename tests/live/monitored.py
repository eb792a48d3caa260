"""Monitors of what a test has loaded: each check is asked, and its verdicts are stored."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from sluice.cli.main import main

from tests.warehouses.backends import Backend

_JUDGED = {
    "backend_events": (0, {"log_to_tables", "rejections", "loads", "tables"}),
    "clickstream": (1, {"counts"}),  # no click of the last hour; of fewer than 42 days no one is judged
}
"""Monitor -> its exit code and the checks that have verdicts, after events of one day of backend_events were loaded."""


def ask_monitor(
    name: str, url: str, capsys: pytest.CaptureFixture[str], flags: Sequence[str] = ()
) -> tuple[int, Mapping[str, Any]]:
    """Ask a monitor of this repository; return its exit code and what it found. A check that fails, fails the test."""
    capsys.readouterr()
    code = main(["monitor", f"monitors/{name}.yaml", f"--warehouse={url}", "--json", *flags])
    printed = capsys.readouterr()
    assert not printed.err, printed.err
    document: Mapping[str, Any] = json.loads(printed.out)
    return code, document


def check_monitors(backend: Backend, capsys: pytest.CaptureFixture[str]) -> None:
    """Ask the monitors of backend events and of counts."""
    for name, expected in _JUDGED.items():
        code, document = ask_monitor(name, backend.url, capsys)
        checks = {check["name"]: check["judged"] for check in document["checks"]}
        judged = {check for check, number in checks.items() if number}
        assert (code, judged) == expected, document["findings"]
        stored = backend.query(f"select count(*) from monitor_results where monitor = '{name}'")
        assert int(stored[0][0]) == sum(checks.values())
