"""Which folders of the repository may import which: the product stands alone, and only tests import tests."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "pipeline": set[str](),
    "devservers": {"devservers"},
    "examples": {"devservers", "examples"},
    "benchmarks": {"benchmarks", "devservers"},
    "tests": {"benchmarks", "devservers", "examples", "tests"},
}
"""Folder -> the folders beside the product that its modules may import."""


def imported_packages(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("folder", ALLOWED)
def test_folder_imports_only_what_it_may(folder: str) -> None:
    forbidden = ALLOWED.keys() - ALLOWED[folder]
    imports = [
        f"{path.relative_to(ROOT)} imports {package}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for package in imported_packages(path)
        if package in forbidden
    ]
    assert imports == []


def test_devservers_need_no_pytest() -> None:
    files = sorted((ROOT / "devservers").rglob("*.py"))
    assert [path.name for path in files if "pytest" in imported_packages(path)] == []
