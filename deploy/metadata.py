"""Writes deploy/metadata.json: the parameters of the Flex Template, from the keys of the job file and their help."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from sluice.config.job import option_keys

FILE = Path(__file__).parent / "metadata.json"

PLACES = {
    "source": r"^[a-z]+[a-z0-9+.-]*://.+$",
    "files": r"^(gs|s3)://.+$",
    "warehouse": r"^[a-z]+://.+$",
    "dead_letters": r"^(gs|s3)://.+$",
}
"""Parameters that must be given, since job files name places of one machine; parameter -> what all workers reach."""


def metadata() -> dict[str, Any]:
    """Return what `gcloud dataflow flex-template build` takes as its metadata file."""
    job = {
        "name": "job",
        "label": "Job file",
        "helpText": "job file in the image that the other parameters override, such as jobs/backend_events.yaml",
        "isOptional": True,
    }
    return {
        "name": "Sluice",
        "description": "Turns raw events into trusted tables: contracts, exactly-once files and rows, dead letters.",
        "parameters": [
            job,
            *(_parameter(key, name.replace(".", "_")) for name, key in option_keys().items()),
        ],
    }


def _parameter(key: dataclasses.Field[Any], name: str) -> dict[str, Any]:
    text = str(key.metadata["help"])
    if key.metadata.get("example"):
        text += f", such as {key.metadata['example']}"
    parameter = {"name": name, "label": name.replace("_", " ").capitalize(), "helpText": text}
    if name in PLACES:
        return {**parameter, "regexes": [PLACES[name]]}
    return {**parameter, "isOptional": True}


if __name__ == "__main__":
    FILE.write_text(json.dumps(metadata(), indent=2, ensure_ascii=False) + "\n", "utf-8")
