"""Inferred contracts -> the files of a project that `sluice run` can run at once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from sluice.errors import ConfigError
from sluice.tooling.inference.contract_guesses import Inferred
from sluice.tooling.inference.contract_yaml import contract_yaml, yaml_scalar
from sluice.tooling.inference.infer import Inference
from sluice.tooling.inference.records import SampleRecord
from sluice.validation.explainer import compile_explainer

_ACCEPTED = 3
"""Examples of each event type."""


def contract_files(inference: Inference, folder: str, source: str) -> dict[str, bytes]:
    """Return path -> content of the contract of each event type, in `folder`; `source` says what was read."""
    return {
        f"{folder}/{inferred.contract.event_type}.odcs.yaml": contract_yaml(inferred, source).encode()
        for inferred in inference.contracts
    }


def project_files(
    name: str, inference: Inference, records: Sequence[SampleRecord], source: str
) -> dict[str, bytes]:
    """Return path -> content of all files of a project whose job is `name`.

    Args:
        name: of the job, and of the folder of its contracts.
        inference: what the sample says.
        records: of the sample; some become examples.
        source: what the job reads, which was the source of the sample.

    """
    folder = f"schemas/{name}"
    files = contract_files(inference, folder, source)
    route = None if inference.route is None else inference.route.name
    for inferred in inference.contracts:
        event_type = inferred.contract.event_type
        own = [record for record in records if route is None or record.values[route] == event_type]
        for verdict, lines in _examples(inferred, own).items():
            files[f"{folder}/examples/{event_type}.{verdict}.ndjson"] = b"".join(
                line + b"\n" for line in lines
            )
    tables = [inferred.contract.table for inferred in inference.contracts]
    values = {"name": name, "route_by": route, "source": source, "tables": tables}
    files[f"jobs/{name}.yaml"] = _render("job.yaml", values)
    files["README.md"] = _render("README.md", values)
    files[".gitignore"] = b"out/\n"
    return files


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files, all of them new.

    Raises:
        ConfigError: one of them is there already, or cannot be written; if one is there, none is written.

    """
    existing = [path for path in files if (folder / path).exists()]
    if existing:
        message = f"{existing[0]}: expected a folder without this file, got one; it is not overwritten"
        raise ConfigError(message)
    for path, content in files.items():
        try:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            with (folder / path).open("xb") as file:
                file.write(content)
        except OSError as error:
            message = f"{path}: cannot write: {error.strerror}"
            raise ConfigError(message) from error


def _examples(inferred: Inferred, records: Sequence[SampleRecord]) -> dict[str, list[bytes]]:
    """Return records that the contract accepts, the ones with the most different members, and one that it rejects."""
    explain = compile_explainer({inferred.contract.event_type: inferred.contract}, None).explain
    accepted: list[bytes] = []
    seen: set[str] = set()
    for record in records:
        members = {name for name, value in record.values.items() if value is not None}
        if (
            (not accepted or members - seen)
            and len(accepted) < _ACCEPTED
            and not explain(record.line).violations
        ):
            accepted.append(record.line)
            seen |= members
    return {"accepts": accepted, "rejects": [_broken(inferred, accepted[0])] if accepted else []}


def _broken(inferred: Inferred, line: bytes) -> bytes:
    """Return a record without a required property, or else with a value of another type."""
    properties = inferred.contract.properties
    lacking = next((prop.name for prop in reversed(properties) if prop.required), None)
    record = json.loads(line, parse_float=str)  # a number of many digits may stay a text: it is broken anyway
    if lacking is None:
        record[properties[0].name] = [[]]
    else:
        record.pop(lacking)
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()


def _render(template: str, values: Mapping[str, object]) -> bytes:
    return _templates().get_template(template).render(values).encode()


def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("sluice.tooling.inference"),
        autoescape=False,  # noqa: S701  YAML and Markdown; what is data is quoted by `yaml`
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["yaml"] = yaml_scalar
    return environment
