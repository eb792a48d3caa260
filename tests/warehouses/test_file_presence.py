"""Files of a warehouse that were deleted or replaced since a run began."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from sluice.contracts import load_contract
from sluice.errors import WarehouseError
from sluice.warehouses import open_warehouse
from sluice.warehouses.file_presence import FilePresence

from devservers.tools import ROOT

SALE = load_contract(str(ROOT / "schemas/commerce/sale.odcs.yaml"))
FILES = {
    "duckdb": ("w.duckdb", "w/_segments", f"w/{SALE.table}"),
    "sqlite": ("w.sqlite",),
}


def prepare(folder: Path, scheme: str) -> FilePresence:
    warehouse = open_warehouse(f"{scheme}:///{folder}/w.{scheme}")
    warehouse.prepare([SALE])
    return FilePresence.of(warehouse, {SALE.table, "of_another_job"})


@pytest.mark.parametrize("scheme", FILES)
def test_files_that_a_run_writes_to_are_present(scheme: str, tmp_path: Path) -> None:
    files = prepare(tmp_path, scheme)
    assert [*files.inodes] == [tmp_path / name for name in FILES[scheme]]
    files.check()
    prepare(tmp_path, scheme)
    (tmp_path / "w/of_another_job").mkdir(parents=True)
    files.check()


@pytest.mark.parametrize(("scheme", "name"), [(scheme, name) for scheme in FILES for name in FILES[scheme]])
@pytest.mark.parametrize(
    ("change", "got"), [("delete", "none"), ("replace", "another"), ("prepare", "another")]
)
def test_file_that_was_deleted_or_replaced_is_an_error(
    scheme: str, name: str, change: str, got: str, tmp_path: Path
) -> None:
    files = prepare(tmp_path, scheme)
    path = tmp_path / name
    moved = path.rename(tmp_path / "moved")  # which keeps its inode from being given to another one
    if change == "replace":
        copy = shutil.copytree if moved.is_dir() else shutil.copy
        copy(moved, path)
    elif change == "prepare":
        prepare(tmp_path, scheme)
    message = (
        f"{path}: expected the warehouse that was there when the run started, got {got}: it was deleted or replaced; "
        "restore it, or empty the warehouse and run sluice load"
    )
    with pytest.raises(WarehouseError, match=f"(?m)^{re.escape(message)}$"):
        files.check()


def test_warehouse_without_files_has_none_to_check() -> None:
    assert FilePresence.of(object(), {SALE.table}) == FilePresence({})
