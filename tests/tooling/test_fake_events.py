from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
from sluice.contracts import load_contracts
from sluice.elements import RecordBatch
from sluice.errors import ConfigError
from sluice.provenance import FileProvenance
from sluice.tooling.fake_events import fake_events
from sluice.validation.age_limits import AgeLimits
from sluice.validation.records import RecordDecoder

NOW = 1_762_000_000.25
WITH_PATTERNS = {"collaboration"}
"""Domains whose required properties have patterns; for those no values are made up."""

SCHEMAS = [
    Path("schemas/backend_events"),
    *(
        path
        for path in sorted(Path("schemas").glob("*/*.odcs.yaml"))
        if path.parent.name not in WITH_PATTERNS
    ),
]


@pytest.mark.parametrize("path", SCHEMAS, ids=str)
def test_fake_events_are_valid_by_their_contract(path: Path) -> None:
    contracts = load_contracts(str(path))
    route_by = "event_type" if len(contracts) > 1 else None
    records = list(islice(fake_events(contracts, route_by, lambda: NOW, seed=7), 3000))
    filled = any(contract.from_source for contract in contracts.values())
    # The names of the files that the audit's contracts take the day from: it begins before NOW.
    address = f"{path.name.split('.')[0].removeprefix('audit_')}s_20251101.csv"
    decoder = RecordDecoder(contracts, route_by, AgeLimits(0, 86_400 if filled else 0), shards=1)
    decoded = decoder.decode(RecordBatch(records, FileProvenance(address, NOW, range(3000))))
    assert decoded.rejected == []
    events = Counter[str]()
    for key, lines in decoded.events.items():
        events[key.event_type] += len(lines)
    assert events == dict.fromkeys(contracts, 3000 // len(contracts))
    assert len(set(records)) > 2900


def test_same_seed_makes_the_same_events() -> None:
    contracts = load_contracts("schemas/backend_events")
    first, second = (
        list(islice(fake_events(contracts, "event_type", lambda: NOW, seed=3), 50)) for _ in range(2)
    )
    assert first == second
    dates = {json.loads(line)["order_date"] for line in first if b'"order_date"' in line}
    assert dates == {"2025-11-01T12:26:40.250000Z"}


def test_required_property_with_a_pattern_is_rejected() -> None:
    contracts = load_contracts("schemas/backend_events")
    order = contracts["order"]
    status = next(prop for prop in order.properties if prop.name == "status")
    broken = replace(order, properties=(replace(status, enum=(), pattern="^[a-z]$"),))
    with pytest.raises(ConfigError) as raised:
        next(fake_events({"order": broken}, None, lambda: NOW))
    assert str(raised.value) == (
        "schemas/backend_events/order.odcs.yaml: status: expected no pattern where a value is required, "
        "got '^[a-z]$'; publish --source"
    )
