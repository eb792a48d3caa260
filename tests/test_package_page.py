"""The page of the package: the README, as the wheel's metadata have it."""

from __future__ import annotations

import email
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sluice.version import VERSION

from devservers.tools import ROOT

BUILD = "from setuptools import build_meta; build_meta.prepare_metadata_for_build_wheel('metadata')"
LINKS = re.compile(r"!?\[([^\]]+)\]\(([^)]+)\)")
HOME = "https://github.com/example/sluice"


def page(folder: Path, repository: str) -> str:
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "pipeline/sluice").mkdir(parents=True)
    for name in ("__init__.py", "version.py"):
        shutil.copy(ROOT / "pipeline/sluice" / name, folder / "pipeline/sluice" / name)
    (folder / "metadata").mkdir()
    environment = {**os.environ, "SLUICE_REPOSITORY": repository}
    subprocess.run(
        [sys.executable, "-c", BUILD], cwd=folder, env=environment, check=True, capture_output=True
    )
    (metadata,) = folder.glob("metadata/*/METADATA")
    headers = email.message_from_string(metadata.read_text("utf-8"))
    assert headers["Description-Content-Type"] == "text/markdown"
    return str(headers.get_payload())


@pytest.mark.parametrize("repository", [HOME, f"{HOME}/"])
def test_links_of_the_package_page_lead_to_files_of_the_tagged_version(
    repository: str, tmp_path: Path
) -> None:
    links = [target for _, target in LINKS.findall(page(tmp_path, repository))]
    to_files = [re.sub(rf"^{HOME}/(blob|raw)/v{VERSION}/", "", target) for target in links]
    assert f"{HOME}/raw/v{VERSION}/docs/images/run-1280.png" in links
    assert f"{HOME}/blob/v{VERSION}/docs/dead-letters.md#conflicts" in links
    assert [file for file in to_files if not (ROOT / file.partition("#")[0]).exists()] == []


def test_package_page_without_a_repository_has_the_texts_of_links_alone(tmp_path: Path) -> None:
    text = page(tmp_path, "")
    assert LINKS.findall(text) == []
    assert "\n- Your own data in 10 minutes: `sluice init` infers" in text
    assert text.count("```") == (ROOT / "README.md").read_text("utf-8").count("```")
