"""Writes what the deployment needs of the product, as files that are committed.

deploy/metadata.json has the parameters of the Flex Template, from the keys of the job file and their help.
terraform/schemas/canary_events.json is the table of deploy/canary.odcs.yaml, which Terraform makes.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from sluice.config.job import option_keys
from sluice.contracts import load_contracts
from sluice.warehouses.bigquery import tables

FILE = Path(__file__).parent / "metadata.json"
CANARY_FILE = Path(__file__).parents[1] / "terraform/schemas/canary_events.json"

PLACES = {
    "source": r"^[a-z]+[a-z0-9+.-]*://.+$",
    "files": r"^(gs|s3)://.+$",
    "warehouse": r"^[a-z]+://.+$",
    "dead_letters": r"^(gs|s3)://.+$",
}
"""Parameters that must be given, since job files name places of one machine; parameter -> what all workers reach."""


GROUPS = {
    "Places": (*PLACES, "load"),
    "Privacy": ("quarantine", "privacy_key", "safe_attributes"),
}
"""Group -> parameters that the console shows together; those of windows are one more, and all others are of the job."""

NUMBERS = ("windows_shards",)
"""Parameters that are numbers; durations, shares and addresses are text, and addresses need not be of Google's."""


def _group(name: str) -> str:
    if name.startswith("windows_"):
        return "Windows"
    return next((group for group, names in GROUPS.items() if name in names), "Job")


def metadata() -> dict[str, Any]:
    """Return what `gcloud dataflow flex-template build` takes as its metadata file."""
    job = {
        "name": "job",
        "label": "Job file",
        "helpText": "job file that the other parameters override: of the image, such as jobs/backend_events.yaml, or in"
        " a bucket with its contracts below the same folder, such as gs://bucket/release/job.yaml",
        "isOptional": True,
        "groupName": "Job",
        "paramType": "TEXT",
        "regexes": [r"^.+\.ya?ml$"],
    }
    return {
        "name": "Sluice",
        "description": "Turns raw events into trusted tables: contracts, exactly-once files and rows, dead letters.",
        "streaming": True,
        "supportsExactlyOnce": True,
        "supportsAtLeastOnce": True,
        "defaultStreamingMode": "EXACTLY_ONCE",
        "parameters": [
            job,
            *(_parameter(key, name.replace(".", "_")) for name, key in option_keys().items()),
        ],
    }


def canary_table() -> dict[str, Any]:
    """Return the table of the canary as BigQuery's table resource."""
    (contract,) = load_contracts(str(Path(__file__).parent / "canary.odcs.yaml")).values()
    return tables.table_json(contract)


def _parameter(key: dataclasses.Field[Any], name: str) -> dict[str, Any]:
    text = str(key.metadata["help"])
    if key.metadata.get("example"):
        text += f", such as {key.metadata['example']}"
    parameter = {
        "name": name,
        "label": name.replace("_", " ").capitalize(),
        "helpText": text,
        "groupName": _group(name),
        "paramType": "NUMBER" if name in NUMBERS else "TEXT",
    }
    if name in PLACES:
        return {**parameter, "regexes": [PLACES[name]]}
    return {**parameter, "isOptional": True}


if __name__ == "__main__":
    for file, content in ((FILE, metadata()), (CANARY_FILE, canary_table())):
        file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")
