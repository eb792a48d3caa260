"""Prints what is installed where it runs, as a software bill of materials (CycloneDX 1.6): `sbom.py NAME VERSION`.

scripts/image runs it inside an image, so it needs the standard library alone. It lists Python distributions and Debian
packages; what else an image has comes from the Dockerfile.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.metadata import Distribution, distributions
from typing import Any
from urllib.parse import quote

_DPKG_FORMAT = "${Package} ${Version} ${Architecture} ${db:Status-Abbrev}\n"


def bill_of_materials(name: str, version: str) -> dict[str, Any]:
    """Return the bill of an image; two of the same image are equal."""
    components = [*map(_python, distributions()), *_debian()]
    unique = {component["purl"]: component for component in components}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "container", "name": name, "version": version}},
        "components": [unique[purl] for purl in sorted(unique)],
    }


def _python(distribution: Distribution) -> dict[str, Any]:
    name, version = distribution.metadata["Name"], distribution.version
    purl = f"pkg:pypi/{quote(name.lower().replace('_', '-'))}@{quote(version)}"
    licence = distribution.metadata.get("License-Expression")
    component = _component(name, version, purl)
    return {**component, "licenses": [{"expression": licence}]} if licence else component


def _debian() -> list[dict[str, Any]]:
    if shutil.which("dpkg-query") is None:
        return []
    command = ["dpkg-query", "--show", f"--showformat={_DPKG_FORMAT}"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in listed.splitlines()]
    return [
        _component(name, version, f"pkg:deb/debian/{quote(name)}@{quote(version)}?arch={architecture}")
        for name, version, architecture, status in rows
        if status == "ii"
    ]


def _component(name: str, version: str, purl: str) -> dict[str, Any]:
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


if __name__ == "__main__":
    print(json.dumps(bill_of_materials(*sys.argv[1:]), indent=1))
