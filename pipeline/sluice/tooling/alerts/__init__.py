"""Alerts: one message a run and channel about what monitors found; each finding is sent once."""

from __future__ import annotations

from sluice.tooling.alerts.delivery import Delivery, Scope, deliver
from sluice.tooling.alerts.rules import AlertRules, Silence, read_alerts
from sluice.tooling.alerts.state import AlertState

__all__ = ["AlertRules", "AlertState", "Delivery", "Scope", "Silence", "deliver", "read_alerts"]
