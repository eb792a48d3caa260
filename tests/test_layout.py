"""The tests mirror the product: the suite of a module lies at the module's place and has its name."""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PRODUCT = TESTS.parent / "pipeline" / "sluice"

REPOSITORY_SUITES = {
    "test_code_limits",
    "test_commerce",
    "test_dependencies",
    "test_dashboards",
    "test_deploy",
    "test_deploy_guide",
    "test_deploy_script",
    "test_devservers",
    "test_docs",
    "test_image_script",
    "test_layers",
    "test_layout",
    "test_mutation",
    "test_package_page",
    "test_public_api",
    "test_run_state",
    "test_scale",
    "test_schemas",
    "test_terraform",
}
"""Suites of the repository as a whole; they belong to no module."""

PACKAGE_SUITES = {
    "cli/test_missing_extras",  # all commands and connectors
    "cli/test_no_secret_is_printed",  # all commands and connectors
    "validation/test_agreement",  # decoder, explainer and JSON Schema give the same verdict
    "warehouses/bigquery/test_storage_write",  # the load method, from the URL to the rows
    "warehouses/test_every_warehouse",  # one suite for all warehouses
}
"""Suites of several modules of a package, as `package/suite`."""

END_TO_END = TESTS / "end_to_end"
"""Whole runs of the command, without servers."""

SERVER_SUITES = TESTS / "live"
"""Suites that need a server; they follow the servers."""

ORCHESTRATION = TESTS / "orchestration"
"""Suites of what runs the product; they follow its folders."""

CONTAINER_SUITES = TESTS / "containers"
"""Suites of the images and of compose.yaml."""


def suites() -> list[str]:
    files = sorted(TESTS.rglob("test_*.py"))
    return [
        str(path.relative_to(TESTS).with_suffix(""))
        for path in files
        if not {SERVER_SUITES, END_TO_END, ORCHESTRATION, CONTAINER_SUITES} & set(path.parents)
    ]


def subjects(folder: Path) -> set[str]:
    """Return the names of a package of the product, of its modules, and of the packages in it."""
    modules = {path.stem for path in folder.glob("*.py")}
    return modules | {path.parent.name for path in folder.glob("*/__init__.py")} | {folder.name}


@pytest.mark.parametrize("suite", suites())
def test_suite_has_the_place_and_name_of_its_module(suite: str) -> None:
    """A long suite may be split: `test_log_model` is a suite of the module `log`, too."""
    path = Path(suite)
    words = path.name.removeprefix("test_").split("_")
    names = {"_".join(words[:count]) for count in range(1, len(words) + 1)}
    if {str(path.with_name(f"test_{name}")) for name in names} & (REPOSITORY_SUITES | PACKAGE_SUITES):
        return
    assert names & subjects(PRODUCT / path.parent), f"no module of sluice/{path.parent} has this name"
