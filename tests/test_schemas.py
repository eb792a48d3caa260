"""Every contract's accepts and rejects run by themselves.

A rejected record may say why, as `"_why": ["code path", …]`; then those are all its violations, in order.
"""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema_rs
import msgspec
import open_data_contract_standard
import pytest
import yaml
from sluice.contracts import Contract, load_contract, load_contracts
from sluice.errors import REJECT_CODES
from sluice.validation.decoder import compile_decoder
from sluice.validation.explainer import compile_explainer

ROOT = Path(__file__).parents[1]
SCHEMAS = ROOT / "schemas"
PACKAGED = ROOT / "pipeline/sluice/dead_letters/dead_letter.odcs.yaml"
CONTRACTS = [*sorted(SCHEMAS.glob("*/*.odcs.yaml")), PACKAGED]


def examples(kind: str) -> list[object]:
    return [
        pytest.param(file, line, id=f"{file.name}:{number}")
        for file in sorted(SCHEMAS.glob(f"*/examples/*.{kind}.ndjson"))
        for number, line in enumerate(file.read_bytes().splitlines(), start=1)
    ]


def domain(file: Path) -> tuple[dict[str, Contract], str | None]:
    """Return all contracts of the domain and what routes between them; if nothing does, the file's own."""
    contracts = load_contracts(str(file.parents[1]))
    routed = all(
        ("event_type", (name,)) in [(p.name, p.enum) for p in c.properties] for name, c in contracts.items()
    )
    event_type = file.name.split(".")[0]
    return (contracts, "event_type") if routed else ({event_type: contracts[event_type]}, None)


@pytest.mark.parametrize(("file", "line"), examples("accepts"))
def test_accepted_example_is_accepted_by_decoder_and_explainer(file: Path, line: bytes) -> None:
    decoder = compile_decoder(*domain(file))
    explanation = compile_explainer(*domain(file)).explain(line)
    assert explanation.violations == ()
    assert explanation.event_type == file.name.split(".")[0]
    assert decoder.contract_of[type(decoder.decode(line))].event_type == explanation.event_type


@pytest.mark.parametrize(("file", "line"), examples("rejects"))
def test_rejected_example_has_the_violations_of_its_why(file: Path, line: bytes) -> None:
    violations = compile_explainer(*domain(file)).explain(line).violations
    try:
        why = msgspec.json.decode(line, type=dict[str, msgspec.Raw]).get("_why", msgspec.Raw(b"null"))
    except msgspec.MsgspecError:
        why = msgspec.Raw(b"null")
    expected = msgspec.json.decode(why)
    assert violations
    assert expected is None or [f"{violation.code} {violation.path}" for violation in violations] == expected


@pytest.mark.parametrize("path", CONTRACTS, ids=lambda path: path.name)
def test_contract_is_complete(path: Path) -> None:
    contract = load_contract(str(path), internal=path == PACKAGED)
    schema = Path(open_data_contract_standard.__path__[0], "schema.json").read_text(encoding="utf-8")
    standard = jsonschema_rs.validator_for(json.loads(schema))
    assert [
        error.message for error in standard.iter_errors(yaml.safe_load(path.read_text(encoding="utf-8")))
    ] == []
    assert contract.description
    assert [prop.name for prop in contract.properties if not prop.description] == []
    if path != PACKAGED:
        for kind in ("accepts", "rejects"):
            assert (path.parent / "examples" / f"{contract.event_type}.{kind}.ndjson").read_bytes()


def test_dead_letter_contract_lists_every_code() -> None:
    properties = {prop.name: prop for prop in load_contract(str(PACKAGED), internal=True).properties}
    reasons = properties["violations"].items
    assert reasons is not None
    assert properties["code"].enum == tuple(REJECT_CODES)
    assert reasons.properties[0].enum == tuple(REJECT_CODES)
