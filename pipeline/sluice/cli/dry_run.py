"""What `sluice run --dry-run` prints."""

from __future__ import annotations

from rich.filesize import decimal
from rich.table import Table

from sluice.cli.console import plain, wide_console
from sluice.tooling.dry_run import DryRun


def print_dry_run(found: DryRun) -> None:
    """Print what a run would read and write, and the verdict on the records that were looked at."""
    console = wide_console()
    size = "" if found.bytes is None else f", {decimal(found.bytes)}"
    console.print(plain(f"{found.job}: dry run; nothing is stored"))
    for name, place in found.places.items():
        console.print(
            plain(f"{name.replace('_', ' ')}: {place}{size if name == 'source' else ''}"), soft_wrap=True
        )
    table = Table(title=f"verdict on {found.read:,} records, without duplicates")
    for column in ("event type", "contract", "table"):
        table.add_column(column)
    table.add_column("accepted", justify="right")
    for event_type, contract in found.contracts.items():
        accepted = f"{found.accepted.get(event_type, 0):,}"
        table.add_row(plain(event_type), plain(contract), plain(found.tables[event_type]), accepted)
    console.print(table)
    console.print(f"rejected: {found.rejected:,}")
    if found.reasons:
        reasons = Table("property and code", title="rejected, by property and code")
        reasons.add_column("records", justify="right")
        reasons.add_column("expected")
        reasons.add_column("got, for example")
        for name, reason in found.reasons.items():
            reasons.add_row(plain(name), f"{reason.records:,}", plain(reason.expected), plain(reason.got))
        console.print(reasons)
