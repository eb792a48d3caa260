"""Value types: every table by type in the code is complete, since `by_type` built it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import sluice
from sluice.contracts import LEAF_TYPES, SCALAR_TYPES, VALUE_TYPES, by_type

PACKAGE = Path(sluice.__file__).parent


def test_table_with_an_entry_for_each_type_is_returned_as_it_is() -> None:
    table = dict.fromkeys(VALUE_TYPES, 1)
    assert by_type(table) is table


def test_table_without_an_entry_for_a_type_is_rejected() -> None:
    with pytest.raises(ValueError, match=r"^expected an entry for each type, got none for \['decimal'\] and"):
        by_type(dict.fromkeys(SCALAR_TYPES - {"decimal"}, 1), SCALAR_TYPES)


def test_table_with_an_entry_too_many_is_rejected() -> None:
    with pytest.raises(ValueError, match=r"got none for \[\] and unexpected ones for \['array'\]$"):
        by_type({**dict.fromkeys(LEAF_TYPES, 1), "array": 1}, LEAF_TYPES)


def tables_by_type(source: str) -> list[tuple[str, bool]]:
    """Return the names annotated as mappings from ValueType, and whether `by_type` makes the value."""
    tables = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            if ast.unparse(node.annotation).startswith(("Mapping[ValueType", "dict[ValueType")):
                made_by = node.value.func if isinstance(node.value, ast.Call) else None
                tables.append(
                    (ast.unparse(node.target), made_by is not None and ast.unparse(made_by) == "by_type")
                )
    return tables


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_every_table_by_type_is_exhaustive(path: Path) -> None:
    assert [name for name, complete in tables_by_type(path.read_text("utf-8")) if not complete] == []
