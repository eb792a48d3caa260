"""A file of one's own becomes a table with the right types and values in two commands, in a folder elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from devservers.sluice_command import sluice
from tests.own_files import ADDED, OWN_FILES, OwnFile, table


@pytest.mark.parametrize("own", OWN_FILES, ids=lambda own: own.name)
def test_own_file_becomes_a_table_with_exact_types_and_values(own: OwnFile, tmp_path: Path) -> None:
    (tmp_path / own.file).write_bytes(own.content)
    code, out, err = sluice("init", own.name, "--from", own.file, "--yes", folder=tmp_path)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == f"now run: sluice run jobs/{own.name}.yaml"
    assert sluice("run", f"jobs/{own.name}.yaml", "--quiet", folder=tmp_path) == (0, "", "")
    assert table(tmp_path, own.name) == (own.columns | ADDED, own.rows)
