"""Which files a pattern selects, and the errors of names, links and permissions."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sluice.errors import SourceError
from sluice.sources import open_source
from sluice.sources.files.listing import FoundFile, find_files

from tests.sources.files.file_fixture import MODIFIED, error_of, write


@pytest.fixture
def history(tmp_path: Path) -> Path:
    for name in (
        "a.json",
        "b.ndjson",
        "b[1].json",
        ".hidden.json",
        "day/c.json.gz",
        "day/.d.json",
        ".git/e.json",
    ):
        write(tmp_path / name, b"{}\n")
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("", ["a.json", "b.ndjson", "b[1].json", "day/c.json.gz"]),
        ("a.json", ["a.json"]),
        ("*", ["a.json", "b.ndjson", "b[1].json"]),
        ("*.json", ["a.json", "b[1].json"]),
        ("**/*.gz", ["day/c.json.gz"]),
        ("**", ["a.json", "b.ndjson", "b[1].json", "day/c.json.gz"]),
        ("[ab].*json", ["a.json", "b.ndjson"]),
        ("b[1].json", ["b[1].json"]),
        ("day", ["day/c.json.gz"]),
        ("day/", ["day/c.json.gz"]),
        (".*.json", [".hidden.json"]),
        (".hidden.json", [".hidden.json"]),
    ],
)
def test_pattern_selects_files(history: Path, pattern: str, names: list[str]) -> None:
    expected = [FoundFile(str(history / name), 3, MODIFIED) for name in names]
    assert find_files(f"{history}/{pattern}") == expected
    assert find_files(f"file://{history}/{pattern}") == expected


def test_relative_paths_become_absolute(history: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(history)
    assert [file.uri for file in find_files("*.ndjson")] == [str(history / "b.ndjson")]


@pytest.mark.parametrize("pattern", ["in/*.json", "missing.json"])
def test_pattern_without_a_match_is_an_error(
    pattern: str, history: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(history)
    with pytest.raises(SourceError) as caught:
        open_source(pattern).check()
    assert str(caught.value) == f"no file matches '{pattern}'"


def test_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(str(tmp_path)).check()
    assert str(caught.value) == f"no file matches '{tmp_path}'"


def test_named_pipe_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError) as caught:
        open_source(str(tmp_path / "pipe")).check()
    assert str(caught.value) == f"{tmp_path}/pipe: cannot read: expected a file"


def test_dangling_link_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "link.json").symlink_to("missing.json")
    with pytest.raises(SourceError) as caught:
        open_source(f"{tmp_path}/*").check()
    assert str(caught.value) == f"{tmp_path}/link.json: cannot read: No such file or directory"


def test_name_that_is_not_utf8_is_an_error(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff.json")).write_bytes(b"{}")
    with pytest.raises(SourceError) as caught:
        open_source(str(tmp_path)).check()
    assert str(caught.value) == f"{tmp_path}/?.json: cannot read: expected a name in UTF-8"


def test_size_is_the_sum_of_plain_files(history: Path) -> None:
    assert open_source(f"{history}/*.json").size() == 6
    assert open_source(str(history)).size() is None
    assert open_source(str(history)).bounded is True


NOBODY = 65534


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that all users may list, unlike the folders of pytest."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Run as the user nobody if this is root, who may read everything."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


def test_file_without_permission_is_an_error(public: Path) -> None:
    path = write(public / "x.json", b"{}\n")
    path.chmod(0)
    with unprivileged():
        assert error_of(path) == f"{path}: cannot open: Permission denied"


def test_folder_without_permission_is_an_error(public: Path) -> None:
    write(public / "in" / "x.json", b"{}\n")
    (public / "in").chmod(0)
    with unprivileged():
        assert error_of(public / "in") == f"{public}/in: cannot list: Permission denied"
    (public / "in").chmod(0o700)
