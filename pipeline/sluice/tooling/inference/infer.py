"""A sample -> the contracts of its event types."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sluice.errors import ConfigError
from sluice.tooling.inference.contract_guesses import (
    Inferred,
    infer_contract,
    sure_identity,
    with_event_time,
    with_identity,
)
from sluice.tooling.inference.records import Sample
from sluice.tooling.inference.routing import Route, find_routes, grouped, route_by

Choose = Callable[[str, Sequence[str], str | None], str | None]
"""Question, candidates and the default -> the choice; None is none of them."""


def take_default(question: str, candidates: Sequence[str], default: str | None) -> str | None:
    """Choose the default."""
    del question, candidates
    return default


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a person says of the contracts, and who asks for the rest."""

    route_by: str | None = None
    """Property that names the event type of a record."""
    event_time: str | None = None
    """Property that is the time of events of all types."""
    identity: str | None = None
    """Property that makes two records of any type the same event."""
    bounds: bool = False
    """Numbers are bounded by those that were seen."""
    choose: Choose = take_default
    """Asks for what is not said above."""


@dataclass(frozen=True, slots=True)
class Inference:
    """What a sample says."""

    route: Route | None
    """What tells the event types apart; None if there is one type."""
    contracts: Sequence[Inferred]
    """Of each event type, in order."""
    proposals: Sequence[Route]
    """Properties that may tell event types apart, and that were not chosen."""


def infer(name: str, sample: Sample, latest: datetime, wishes: Wishes) -> Inference:
    """Return the contracts of a sample.

    Args:
        name: domain of the contracts, and the event type of records that have but one.
        sample: what was read.
        latest: no event can be later.
        wishes: what a person says of the contracts.

    Raises:
        ConfigError: the sample has no records, or a property of the wishes cannot be what it should be.

    """
    if not sample.records:
        message = f"expected records that are JSON objects or rows of CSV, got none, and {sample.unreadable:,} others"
        raise ConfigError(message)
    proposals = find_routes(sample.records) if wishes.route_by is None else []
    if wishes.route_by is None:
        route = _choose_route(proposals, wishes.choose)
    else:
        route = route_by(sample.records, wishes.route_by)
    columns = {} if sample.columns is None else {prop.name: prop for prop in sample.columns.properties}
    groups = {name: range(len(sample.records))} if route is None else grouped(sample.records, route.name)
    contracts = []
    for event_type, indexes in groups.items():
        inferred = infer_contract(
            event_type,
            [sample.records[index] for index in indexes],
            latest,
            domain=name,
            columns=columns,
            routed_by=None if route is None else route.name,
            bounds=wishes.bounds,
        )
        contracts.append(_settle(inferred, wishes))
    return Inference(route, contracts, [proposal for proposal in proposals if proposal != route])


def _choose_route(routes: Sequence[Route], choose: Choose) -> Route | None:
    if not routes:
        return None
    question = "Which property names the event type of a record? Each type gets a contract and a table."
    default = routes[0].name if routes[0].usual else None
    chosen = choose(question, [route.name for route in routes], default)
    return next((route for route in routes if route.name == chosen), None)


def _settle(inferred: Inferred, wishes: Wishes) -> Inferred:
    """Return the contract with the event time and the identity that are given, or else chosen."""
    event_type = inferred.contract.event_type
    chosen_time, chosen_identity = next(iter(inferred.event_times), None), sure_identity(inferred)
    if wishes.event_time is not None:
        chosen_time = wishes.event_time
    elif len(inferred.event_times) > 1:
        question = f"{event_type}: which property is the time at which it happened?"
        chosen_time = wishes.choose(question, inferred.event_times, chosen_time)
    if wishes.identity is not None:
        chosen_identity = wishes.identity
    elif inferred.identities:
        question = f"{event_type}: which property makes two records the same event? Without one, all of their bytes do."
        chosen_identity = wishes.choose(question, inferred.identities, chosen_identity)
    return with_identity(with_event_time(inferred, chosen_time), chosen_identity)
