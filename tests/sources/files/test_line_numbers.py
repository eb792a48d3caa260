from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from sluice.sources.files.line_numbers import line_at

LINES = b"".join(b'{"n":%d}\n' % number for number in range(200_000))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_line_is_that_of_an_editor(tmp_path: Path, pack: type[bytes]) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(pack(LINES))
    for number in (0, 1, 70_000, 199_999):
        offset = LINES.index(b'{"n":%d}' % number)
        assert line_at(str(path), offset) == number + 1
        assert line_at(str(path), offset + 3) == number + 1


def test_line_of_a_file_that_is_gone_or_shorter_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b"{}\n")
    assert line_at(str(tmp_path / "x.json"), 3) is None
    assert line_at(str(tmp_path / "y.json"), 0) is None
