"""The tables of what Sluice itself writes, which every job may have beside those of its own contracts."""

from __future__ import annotations

from sluice.contracts import Contract
from sluice.dead_letters.envelope import dead_letter_contract, redelivery_contract
from sluice.elements import DEAD_LETTER, REDELIVERY, SOURCE_FILE
from sluice.eventlog.source_manifest import source_file_contract

LOADED_AS = {DEAD_LETTER: "dead_letters", REDELIVERY: "dead_letters", SOURCE_FILE: "sources"}
"""Event type of Sluice itself -> what `load` of a job calls it."""


def own_contracts() -> tuple[Contract, ...]:
    """Return the contracts of dead letters, of redelivery entries and of the manifest of sources."""
    return dead_letter_contract(), redelivery_contract(), source_file_contract()
