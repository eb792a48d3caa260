"""Which lines of a batch the native core takes as plain events; see `sluice.native_core`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from sluice.contracts import Contract
from sluice.contracts.native_rules import describe
from sluice.line_block import LineBlock
from sluice.native_core import native_core
from sluice.validation.decoder import routing_property


@dataclass(frozen=True, slots=True)
class PlainEvents:
    """Plain events of one contract in one partition of its log, in the order of their records."""

    contract: Contract
    partition: int
    """Number of the partition: event time over its length, rounded down."""
    lines: Sequence[bytes]
    indexes: Sequence[int]


class Plain(NamedTuple):
    """What the core has found among lines."""

    events: Sequence[PlainEvents]
    others: Sequence[int]
    """Indexes of the lines that it has not taken, in order."""
    first: float
    last: float
    """Earliest and latest event time of those that it has taken, in epoch seconds."""


class PlainFinder:
    """Finds plain events of some contracts."""

    def __init__(
        self, contracts: Mapping[str, Contract], route_by: str | None, seconds: Mapping[str, int]
    ) -> None:
        """Describe `contracts` to the core; `seconds` are the lengths of the partitions of their logs."""
        described = {
            name: description
            for name, contract in contracts.items()
            if (description := describe(_with_route(contract, route_by)))
        }
        self._contracts = [contracts[name] for name in described]
        given = [
            (name, seconds[name], contracts[name].event_time, rules) for name, rules in described.items()
        ]
        core = native_core()
        self._core = core.Core(given, route_by) if core is not None and given else None

    def find(self, lines: Sequence[bytes]) -> Plain | None:
        """Return the plain events among `lines`; None if there is no core, or it has taken none."""
        if self._core is None:
            return None
        if isinstance(lines, LineBlock):
            groups, others, span = self._core.decode_block(lines.data)
        else:
            groups, others, span = self._core.decode(list(lines))
        if span is None:
            return None
        events = []
        for contract, partition, taken, places in groups:
            indexes = memoryview(places).cast("I")
            of_contract = LineBlock(taken, len(indexes)) if isinstance(taken, bytes) else taken
            events.append(PlainEvents(self._contracts[contract], partition, of_contract, indexes))
        # As a datetime's own: the nearest float.
        return Plain(events, memoryview(others).cast("I"), span[0] / 10**6, span[1] / 10**6)


def _with_route(contract: Contract, route_by: str | None) -> Contract:
    """Return a contract that declares the property that routes: so only one at the top of a line counts."""
    if route_by is None or any(prop.name == route_by for prop in contract.properties):
        return contract
    return replace(contract, properties=(*contract.properties, routing_property(contract, route_by)))


def in_order(indexes: Sequence[int], lines: Sequence[bytes]) -> list[bytes]:
    """Return lines in the order of the indexes of their records."""
    return [line for _, line in sorted(zip(indexes, lines, strict=True))]
