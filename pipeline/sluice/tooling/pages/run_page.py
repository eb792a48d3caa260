"""The page of a run that has ended: its report as figures, drawings and commands, in one file of HTML."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from statistics import median
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from sluice.errors import REJECT_CODES, ConfigError, StorageError
from sluice.storage.base import printable
from sluice.tooling.pages.earlier_runs import RunFigures, read_earlier_runs
from sluice.tooling.pages.flow import draw_flow
from sluice.tooling.pages.rendering import csp_source, cut_text, page_asset, page_templates
from sluice.tooling.pages.samples import Sample, read_samples
from sluice.tooling.pages.timeline_chart import draw_timelines, window_seconds

_FIGURES = ("read", "accepted", "duplicates", "rejected", "loaded", "load_rejected", "segments")
_MORE_FIGURES = {
    "backfilled": "events of earlier runs, which the warehouse lacked, were loaded",
    "conflicting": "duplicates have other content than the stored event; they are dead letters",
    "repaired": "malformed records were repaired",
    "dead_letters_rejected": "dead letters are not in their table, since the warehouse rejected their rows",
    "in_work": "segments were left to a run that may be loading them",
    "restarts": "times the runner ended by itself and was started again",
    "reread": "records were read again because of that",
}
_RUN_FIGURES = ("read", "accepted", "duplicates", "rejected")
_LONGEST_TEXT, _LONGEST_NAME = 1000, 80
_NOT_REDELIVERED = frozenset({"conflict", "rejected_by_warehouse"})
"""Codes whose dead letters `sluice redeliver` leaves alone: their events, or others with their keys, are stored."""


_FILES = ("duckdb://", "sqlite://")
"""How addresses of warehouses begin that are files: others need credentials, which no report has."""


def render_run_page(report: Mapping[str, Any]) -> str:
    """Return the page of a report, as `--report` writes it in JSON, with samples of its dead letters.

    The page loads nothing, runs no script, and shows everything that comes from data as text. If the dead letters
    cannot be read, it says why.
    """
    places = report["places"]
    samples, problem = _samples(report)
    earlier, earlier_problem = _earlier(report)
    report = as_text(report)
    return (
        _templates()
        .get_template("run.html")
        .render(
            report=report,
            style=_style(),
            style_source=csp_source(_style()),
            figures=_FIGURES,
            more_figures=[
                (name, report[name], meaning) for name, meaning in _MORE_FIGURES.items() if report.get(name)
            ],
            flow=draw_flow(report),
            charts=draw_timelines(report["timeline"]),
            window_seconds=window_seconds(report["latest_windows"]),
            timeline_seconds=window_seconds(report["timeline"]),
            latest_types=sorted({name for window in report["latest_windows"] for name in window["events"]}),
            reasons=[
                (code, number, REJECT_CODES.get(code, ""), samples.get(code, []), _redelivery(code, places))
                for code, number in sorted(report["rejections"].items(), key=lambda item: (-item[1], item[0]))
            ],
            samples_problem=printable(problem),
            this_run=_this_run(report),
            earlier=earlier,
            earlier_problem=printable(earlier_problem),
            run_figures=_RUN_FIGURES,
            shares=_shares(_this_run(report), earlier),
            tables_command=_command("tables", places, ["warehouse"], "--apply"),
            places={name.replace("_", " "): printable(place) for name, place in places.items() if place},
        )
    )


def as_text(value: Any) -> Any:
    """Return a value of a report with all texts and names in it as a page shows them.

    They are cut, since data can make them as long as a record, and what nobody sees in them is escaped.
    """
    if isinstance(value, str):
        return cut_text(value, _LONGEST_TEXT)
    if isinstance(value, list):
        return [as_text(member) for member in value]
    if isinstance(value, dict):
        shown: dict[str, Any] = {}
        for name, member in value.items():
            key = name if name in REJECT_CODES else cut_text(name, _LONGEST_NAME)
            while key in shown:  # two long names that begin alike
                key += "*"
            shown[key] = as_text(member)
        return shown
    return value


def _samples(report: Mapping[str, Any]) -> tuple[Mapping[str, Sequence[Sample]], str]:
    """Return samples by code, and why there are none."""
    address, codes = report["places"].get("dead_letters"), report["rejections"]
    if not codes:
        return {}, ""
    if not address:
        return {}, "this report does not say where the dead letters are"
    try:
        samples = read_samples(address, report["job"], codes)
    except (ConfigError, StorageError) as error:
        return {}, str(error)
    found = any(samples.values())
    return samples, "" if found else f"no dead letters of this job were found in {address}"


def _earlier(report: Mapping[str, Any]) -> tuple[list[RunFigures], str]:
    """Return the runs before this one, and why there are none."""
    event_log = report["places"].get("files")
    if not event_log:
        return [], "this report does not say where the event log is"
    started = datetime.fromisoformat(report["started"]) + timedelta(seconds=1)  # it is cut to seconds
    try:
        runs = read_earlier_runs(event_log, report["job"], report["run_id"], started)
    except (ConfigError, StorageError) as error:
        return [], str(error)
    return runs, "" if runs else f"no earlier run of this job has read anything into {event_log}"


def _this_run(report: Mapping[str, Any]) -> RunFigures:
    started = f"{report['started'][:19]}Z"  # to the second, as those of earlier runs
    return RunFigures(started, None, *(report[figure] for figure in _RUN_FIGURES))


def _shares(this: RunFigures, earlier: Sequence[RunFigures]) -> list[tuple[str, str, str]]:
    """Return the duplicates and the rejected records of this run as a share, and the median share of earlier runs."""
    return [
        (figure, f"{this.share(figure):.2%}", f"{median(run.share(figure) for run in earlier):.2%}")
        for figure in ("duplicates", "rejected")
        if earlier
    ]


def _redelivery(code: str, places: Mapping[str, str]) -> str:
    if code in _NOT_REDELIVERED or "job" not in places:
        return ""
    return _command("redeliver", places, ("files", "warehouse", "dead_letters"), f"--where=code={code}")


def _command(name: str, places: Mapping[str, str], keys: Sequence[str], *flags: str) -> str:
    """Return a command to copy into a shell, with the flags of those places that have no user or password."""
    given = [
        f"--{key.replace('_', '-')}={place}"
        for key in keys
        if (place := places.get(key, "")) and (key != "warehouse" or place.startswith(_FILES))
    ]
    return printable(shlex.join(["sluice", name, places.get("job", "JOB"), *given, *flags]))


@cache
def _templates() -> Environment:
    return page_templates("sluice.tooling.pages")


@cache
def _style() -> Markup:
    return page_asset(_templates(), "page.css", "run.css")
