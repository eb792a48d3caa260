"""The documentation site: it builds without a warning, and its navigation is the map of the documentation."""

from __future__ import annotations

import re
import subprocess

import pytest
import sluice

from devservers.tools import ROOT, require_path
from tools.docs_site.navigation import navigation

MAP = """# Documentation

The [README](../README.md) comes first.

## Tutorial

- [your own data](tutorials/data.md): step by step; see also [windows](windows.md#late)

## How-to guides

| task | guide |
| --- | --- |
| read streams | [Kafka](how-to/kafka.md), [Pub/Sub](how-to/pubsub.md) |
"""


def test_navigation_has_the_sections_rows_and_links_of_the_map() -> None:
    assert navigation(MAP) == [
        {"Tutorial": [{"Your own data": "docs/tutorials/data.md"}]},
        {
            "How-to guides": [
                {"Read streams": [{"Kafka": "docs/how-to/kafka.md"}, {"Pub/Sub": "docs/how-to/pubsub.md"}]}
            ]
        },
    ]


def test_every_public_name_is_on_the_python_page() -> None:
    listed = re.findall(r"^::: sluice\.(\w+)$", (ROOT / "docs/python.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(set(sluice.__all__) - {"__version__"})


@pytest.mark.long
def test_site_builds_without_a_warning() -> None:
    require_path("docs/bin/mkdocs")
    done = subprocess.run(
        ["scripts/docs"], cwd=ROOT, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    page = (ROOT / "out/site/docs/python.html").read_text("utf-8")
    assert re.findall(r'<h\d id="sluice\.([A-Za-z_]+)"', page) == [
        "run_job",
        "load_log",
        "Report",
        "Submitted",
        "RunObserver",
        "load_job",
        "Job",
        "load_contract",
        "load_contracts",
        "Contract",
        "SluiceError",
    ]
