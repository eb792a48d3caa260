"""The shape of the code: imports point down, no cycles, Beam and vendor clients where they belong, small pieces."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

SOURCE_ROOT = Path(__file__).parents[1] / "pipeline"
PACKAGE = "sluice"

LAYERS = (
    "cli",
    "runtime",
    "graph",
    "tooling",
    "codegen",
    "warehouses",
    "sources",
    "dead_letters",
    "eventlog",
    "storage",
    "validation",
    "arrow",
    "formats",
    "config",
    "contracts",
)
"""Folders from top to bottom; a module imports from its own folder and from those below it."""

BASE = len(LAYERS)
"""Rank of the modules beside the folders, such as `errors`, which all folders may import."""

PUBLIC_API = (PACKAGE, f"{PACKAGE}.__main__")
"""They belong to no layer, and import from any."""

WITH_BEAM = ("graph", "run_state", "runtime", "sources", "telemetry")
"""Folders and modules that may import Beam."""

VENDOR_CLIENTS = (
    "adbc_driver_manager",
    "adbc_driver_postgresql",
    "apprise",
    "boto3",
    "botocore",
    "confluent_kafka",
    "google",
    "httpx",
    "obstore",
    "pymongo",
    "snowflake",
)
"""Modules that only an extra installs."""

MOST_LINES, MOST_LINES_OF_A_FUNCTION = 400, 40


class Import(NamedTuple):
    """An import statement of a module."""

    module: str
    line: int
    imported: str
    in_function: bool
    """Or only for the type checker: in both cases the import does not run when the module is imported."""


@cache
def modules() -> dict[str, Path]:
    """Return dotted name -> file of all modules of the product; a package goes by its own name."""
    files = {}
    for path in sorted((SOURCE_ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(SOURCE_ROOT).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return files


@cache
def syntax(module: str) -> ast.Module:
    return ast.parse(modules()[module].read_text("utf-8"))


@cache
def imports() -> list[Import]:
    return [
        statement for module in modules() for statement in _imports(module, syntax(module), in_function=False)
    ]


def _imports(module: str, node: ast.AST, *, in_function: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(module, child.lineno, alias.name, in_function)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"{module}:{child.lineno}: relative import"
            for alias in child.names:
                submodule = f"{child.module}.{alias.name}"
                name = submodule if submodule in modules() else str(child.module)
                yield Import(module, child.lineno, name, in_function)
        else:
            deferred = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) or (
                isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
            )
            yield from _imports(module, child, in_function=in_function or deferred)


def own_imports() -> Iterator[Import]:
    return (statement for statement in imports() if statement.imported.split(".")[0] == PACKAGE)


def layer(module: str) -> str:
    """Return the folder of a module, or the name of a module beside the folders."""
    return module.split(".")[1] if "." in module else module


def rank(module: str) -> int:
    """Return the place of a module from the top."""
    if module in PUBLIC_API:
        return -1
    return LAYERS.index(layer(module)) if layer(module) in LAYERS else BASE


def place(statement: Import) -> str:
    return f"{modules()[statement.module].relative_to(SOURCE_ROOT)}:{statement.line} imports {statement.imported}"


def test_every_folder_is_a_layer() -> None:
    folders = {path.parent.name for path in (SOURCE_ROOT / PACKAGE).glob("*/__init__.py")}
    assert folders == set(LAYERS)


def test_imports_point_down() -> None:
    upward = [
        place(statement)
        for statement in own_imports()
        if rank(statement.imported) < rank(statement.module)
        and (statement.imported != PACKAGE or layer(statement.module) != "cli")
    ]
    assert upward == []


def test_imports_make_no_cycle() -> None:
    graph: dict[str, set[str]] = {}
    for statement in own_imports():
        if statement.imported != statement.module:
            graph.setdefault(statement.module, set()).add(statement.imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_beam_is_imported_only_where_it_runs() -> None:
    misplaced = [
        place(statement)
        for statement in imports()
        if statement.imported.split(".")[0] == "apache_beam" and layer(statement.module) not in WITH_BEAM
    ]
    assert misplaced == []


def test_vendor_clients_are_imported_inside_functions() -> None:
    early = [
        place(statement)
        for statement in imports()
        if statement.imported.split(".")[0] in VENDOR_CLIENTS and not statement.in_function
    ]
    assert early == []


def test_files_are_short() -> None:
    lines = {name: len(path.read_bytes().splitlines()) for name, path in modules().items()}
    assert {name for name, number in lines.items() if number > MOST_LINES} == set()


def test_functions_are_short() -> None:
    long = {}
    for module in modules():
        for node in ast.walk(syntax(module)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                if (number := (node.end_lineno or first) - first + 1) > MOST_LINES_OF_A_FUNCTION:
                    long[f"{module}.{node.name}"] = number
    assert set(long) == set()


def source_lines() -> Iterator[tuple[str, str]]:
    """Yield each line of the product, with its module and number."""
    for module, path in modules().items():
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            yield f"{module}:{number}", line


def test_no_group_is_repeated_possessively() -> None:
    """Python before 3.11.5 matches `(?:ab|c)*+` wrongly (gh-106052); `(?>(?:ab|c)*)` is the same, and right."""
    possessive = [at for at, line in source_lines() if re.search(r"\)(?:[*+?]|\{[0-9,]+\})\+", line)]
    assert possessive == []


def test_every_noqa_has_a_reason() -> None:
    without = [
        at
        for at, line in source_lines()
        if re.search(r"# (noqa|type: ignore)", line)
        and not re.search(r"# (noqa: [A-Z0-9, ]+  \S|type: ignore\[)", line)
    ]
    assert without == []
