"""Small files and functions, and a reason for each exception, also outside the product.

tests/test_layers.py holds the product to the same limits.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOLS = ("devservers", "benchmarks", "examples", "orchestration", "spark")
MOST_LINES, MOST_LINES_OF_A_FUNCTION = 400, 40
SUPPRESSION = re.compile(r"# (noqa|type: ignore)")
WITH_REASON = re.compile(r"# (noqa: [A-Z0-9, ]+  \S|type: ignore\[[a-z, -]+\]  # \S)")


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("folder", [*TOOLS, "tests"])
def test_files_are_short(folder: str) -> None:
    lines = {str(path.relative_to(ROOT)): len(path.read_bytes().splitlines()) for path in modules(folder)}
    assert {path: number for path, number in lines.items() if number > MOST_LINES} == {}


@pytest.mark.parametrize("folder", TOOLS)
def test_functions_are_short(folder: str) -> None:
    long = [
        f"{path.relative_to(ROOT)}: {function.name}"
        for path in modules(folder)
        for function in functions(path)
        if (function.end_lineno or 0) - function.lineno >= MOST_LINES_OF_A_FUNCTION
    ]
    assert long == []


@pytest.mark.parametrize("folder", [*TOOLS, "tests"])
def test_every_suppression_has_a_reason(folder: str) -> None:
    bare = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in modules(folder)
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if SUPPRESSION.search(line) and not WITH_REASON.search(line) and path != Path(__file__)
    ]
    assert bare == []


ASSERTING_CALLS = {"raises", "fail", "warns", "assert_that"}
"""Of pytest and Beam."""


def asserts(function: ast.AST) -> bool:
    return any(
        isinstance(node, ast.Assert)
        or (isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ASSERTING_CALLS)
        for node in ast.walk(function)
    )


def calls(function: ast.AST) -> set[str]:
    """Return the names of the functions that a function calls."""
    nodes = (node.func for node in ast.walk(function) if isinstance(node, ast.Call))
    return {callee.id for callee in nodes if isinstance(callee, ast.Name)}


def test_every_test_asserts_something() -> None:
    """By itself, or by functions of the tests that it calls."""
    silent = [
        (f"{path.relative_to(ROOT)}: {function.name}", function)
        for path in modules("tests")
        for function in functions(path)
        if not asserts(function)
    ]
    asserting = {
        function.name for path in modules("tests") for function in functions(path) if asserts(function)
    }
    while more := [entry for entry in silent if calls(entry[1]) & asserting]:
        asserting |= {function.name for _, function in more}
        silent = [entry for entry in silent if entry not in more]
    assert [name for name, function in silent if function.name.startswith("test_")] == []
