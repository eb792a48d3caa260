"""The sources of a job as a table on a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.table import Table

from sluice.cli.console import plain, wide_console
from sluice.cli.output import print_line
from sluice.tooling.source_states import STATES, SourceState

_FIGURES = ("read", "accepted", "duplicates", "rejected")


def print_source_states(job: str, states: Sequence[SourceState]) -> None:
    """Print how many sources of a job are in each state, and a row for each source."""
    counts = Counter(state.state for state in states)
    listed = ", ".join(f"{counts[name]:,} {name}" for name in STATES if counts[name])
    print_line(f"{job}: {listed or 'no run has read anything yet'}")
    if not states:
        return
    table = Table("state")
    table.add_column("source", overflow="fold")  # the end of an address tells files apart
    table.add_column("last read")
    for name in _FIGURES:
        table.add_column(name, justify="right")
    for state in states:
        uri, partition = state.source
        name = uri if partition is None else f"{uri}/{partition}"
        table.add_row(state.state, plain(name), *_cells(state))
    wide_console().print(table)


def _cells(state: SourceState) -> list[str]:
    """Return when the last run read a source, and its figures; `accepted` is the sum over all runs."""
    entry = state.entry
    if entry is None:
        return ["", *[""] * len(_FIGURES)]
    figures = (entry.rows_read, state.accepted, entry.rows_duplicate, entry.rows_rejected)
    return [f"{entry.read_at:%Y-%m-%d %H:%M:%S}", *(f"{figure:,}" for figure in figures)]
