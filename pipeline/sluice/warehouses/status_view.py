"""The view `dead_letter_status`: what became of each dead letter, described once for every warehouse.

It joins the tables `dead_letters` and `redeliveries`, and says what `dead_letters.reading` says of the logs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sluice.contracts import Contract
from sluice.elements import DEAD_LETTER, REDELIVERY
from sluice.warehouses.system_tables import unquoted

STATUS_DESCRIPTION = "What became of each dead letter: open, redelivered and rejected again, or resolved."

_OF_DEAD_LETTER = ("letter_id", "rejected_at", "job", "step", "code", "event_type")


def has_status(contracts: Iterable[Contract]) -> bool:
    """Tell whether both tables that the view reads are among those of `contracts`."""
    return {DEAD_LETTER, REDELIVERY} <= {contract.event_type for contract in contracts}


def status_query(
    *,
    quote: Callable[[str], str] = unquoted,
    table: Callable[[str], str] = unquoted,
    condition: str = "",
    distinct: bool = False,
) -> str:
    """Return the query of the view.

    Args:
        quote: how names of columns are written.
        table: how names of tables are written.
        condition: what all rows of both tables fulfil, where a table rejects a query without one.
        distinct: whether a table may have a row twice.

    """
    where = f"\n    WHERE {condition}" if condition else ""
    columns = ",\n    ".join(f"dead_letter.{quote(name)}" for name in _OF_DEAD_LETTER)
    first = f"COALESCE(dead_letter.{quote('attempts')}, 1)"
    last, accepted, latest = (
        f"again.{quote(name)}" for name in ("attempts", "resolved_at", "last_redelivered_at")
    )
    at = quote("redelivered_at")
    return f"""SELECT{" DISTINCT" if distinct else ""}
    {columns},
    CASE WHEN {accepted} IS NOT NULL THEN 'resolved' WHEN {latest} IS NOT NULL THEN 'redelivered' ELSE 'open' END
        AS {quote("status")},
    CASE WHEN {last} > {first} THEN {last} ELSE {first} END AS {quote("attempts")},
    {latest} AS {quote("last_redelivered_at")},
    {accepted} AS {quote("resolved_at")}
FROM {table("dead_letters")} AS dead_letter
LEFT JOIN (
    SELECT
        {quote("letter_id")},
        MAX({quote("attempt")}) AS {quote("attempts")},
        MAX({at}) AS {quote("last_redelivered_at")},
        MIN(CASE WHEN {quote("outcome")} = 'accepted' THEN {at} END) AS {quote("resolved_at")}
    FROM {table("redeliveries")}{where}
    GROUP BY {quote("letter_id")}
) AS again ON again.{quote("letter_id")} = dead_letter.{quote("letter_id")}{where.replace("    ", "")}"""
