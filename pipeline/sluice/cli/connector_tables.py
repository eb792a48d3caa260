"""Connectors as tables on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.table import Table

from sluice.cli.console import plain, wide_console
from sluice.cli.output import print_line
from sluice.config.connectors import ConnectorDescription


def print_connectors(descriptions: Sequence[ConnectorDescription], kind: str) -> None:
    """Print a row for each connector: what it is, its URL, its options, the extra that it needs."""
    rows = [
        (
            connector.summary,
            connector.shape,
            ", ".join(option.name for option in connector.options),
            f"{connector.extra}{_missing(connector)}",
        )
        for connector in descriptions
    ]
    wide_console().print(_table((kind, "URL", "options", "extra"), rows, lines=True))


def print_connector(connector: ConnectorDescription) -> None:
    """Print everything that is declared of one connector."""
    lines = [connector.summary, f"URL: {connector.shape}", f"schemes: {', '.join(connector.schemes)}"]
    if connector.extra:
        lines.append(f"client: pip install 'sluice-beam[{connector.extra}]'{_missing(connector)}")
    for line in lines:
        print_line(line)
    for title, options in (
        ("part of the URL", connector.parts),
        (f"option behind {connector.options_after}", connector.options),
    ):
        if options:
            rows = [
                (option.name, option.meaning, option.default_or_required, option.example)
                for option in options
            ]
            wide_console().print(_table((title, "meaning", "default", "example"), rows))


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], *, lines: bool = False) -> Table:
    table = Table(show_lines=lines)
    for name in header:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(plain, row))
    return table


def _missing(connector: ConnectorDescription) -> str:
    return "" if connector.installed else " (not installed)"
