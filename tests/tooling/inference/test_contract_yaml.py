"""Whatever is generated from a contract is inferred to a contract that accepts it, and that its YAML says exactly."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from sluice.contracts import LEAF_TYPES, Contract, Property, load_contract
from sluice.contracts.names import fold_name
from sluice.elements import RecordBatch
from sluice.errors import ConfigError
from sluice.provenance import FileProvenance
from sluice.tooling.fake_events import fake_events
from sluice.tooling.inference.contract_guesses import Inferred
from sluice.tooling.inference.contract_yaml import contract_yaml
from sluice.tooling.inference.infer import Inference, Wishes, infer
from sluice.tooling.inference.records import read_sample
from sluice.validation.explainer import compile_explainer

NOW = datetime(2026, 3, 1, tzinfo=UTC)
NAMES = st.one_of(
    st.sampled_from(
        ["id", "type", "at", "amount", "no", "null", "1e3", "unit price", "größe", "a.b", "x: y", "#", "~"]
    ),
    st.text(st.characters(categories=("L", "N", "P", "S"), exclude_characters='"\\'), min_size=1, max_size=8),
)
LEAVES = st.sampled_from(sorted(LEAF_TYPES))


@st.composite
def properties(draw: DrawFn, depth: int = 2) -> tuple[Property, ...]:
    names = draw(st.lists(NAMES, min_size=1, max_size=5, unique_by=fold_name))
    return tuple(draw(of_type(name, depth)) for name in names if not name.startswith("_") and name != "[]")


@st.composite
def of_type(draw: DrawFn, name: str, depth: int) -> Property:
    prop = Property(name, draw(LEAVES), required=draw(st.booleans()))
    match draw(st.integers(0, 5)) if depth else 0:
        case 4:
            members = draw(properties(depth - 1).filter(bool))
            return replace(prop, type="object", properties=members)
        case 5:
            return replace(prop, type="array", items=draw(of_type("item", depth - 1)))
    if prop.type == "string" and draw(st.booleans()):
        return replace(
            prop, enum=tuple(draw(st.lists(st.text(max_size=5), min_size=1, max_size=4, unique=True)))
        )
    if prop.type in ("integer", "decimal", "float") and draw(st.booleans()):
        return replace(prop, minimum=-1000, maximum=1000)
    return prop


def contracts() -> SearchStrategy[Contract]:
    return (
        properties()
        .filter(bool)
        .map(lambda found: Contract("thing", "thing", "thing", "1.0.0", "thing", "Things.", found, None))
    )


def inferred_from(lines: Sequence[bytes], wishes: Wishes) -> Inference:
    batch = RecordBatch(lines, FileProvenance("things.ndjson", 0.0, range(len(lines))))
    return infer("thing", read_sample([batch]), NOW, wishes)


def loaded(inferred: Inferred) -> Contract:
    """Return the contract as its YAML says it."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "thing.odcs.yaml")
        path.write_text(contract_yaml(inferred, "things.ndjson"), "utf-8")
        return replace(load_contract(str(path)), path="")


def with_order(contract: Contract) -> Contract:
    """Return a contract with its properties in order of names: another order of records shows them in another one."""
    return replace(contract, properties=in_order(contract.properties))


def in_order(properties: Sequence[Property]) -> tuple[Property, ...]:
    return tuple(sorted(map(members_in_order, properties), key=lambda prop: prop.name))


def members_in_order(prop: Property) -> Property:
    items = None if prop.items is None else members_in_order(prop.items)
    return replace(prop, properties=in_order(prop.properties), items=items)


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(contracts(), st.integers(1, 60), st.integers(0, 2**32), st.booleans())
def test_inferred_contract_accepts_what_it_was_inferred_from(
    contract: Contract, number: int, seed: int, bounds: bool
) -> None:
    events = list(islice(fake_events({"thing": contract}, None, NOW.timestamp, seed), number))
    wishes = Wishes(bounds=bounds)
    try:
        inference = inferred_from(events, wishes)
    except ConfigError as error:  # all optional, and never there
        assert "expected records with a property that a contract can have, got " in str(error)
        return
    by_type = {inferred.contract.event_type: inferred.contract for inferred in inference.contracts}
    explain = compile_explainer(by_type, None if inference.route is None else inference.route.name).explain
    assert [violations for event in events if (violations := explain(event).violations)] == []
    assert [loaded(inferred) for inferred in inference.contracts] == list(by_type.values())

    again = inferred_from(random.Random(seed).sample(events, len(events)), wishes)
    assert {inferred.contract.event_type: with_order(inferred.contract) for inferred in again.contracts} == {
        name: with_order(contract) for name, contract in by_type.items()
    }
