"""Which files a pattern selects, and the errors of names, links and permissions."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from apache_beam.utils import retry
from sluice.errors import SourceError
from sluice.sources import open_source
from sluice.sources.files.found_file import FoundFile
from sluice.sources.files.listing import find_files
from sluice.sources.files.source import plan_reading, read_item
from sluice.storage.gcs import RETRY_SECONDS

from tests.growth import LINEAR, growth_of_cpu_time
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
        ("**.gz", ["day/c.json.gz"]),
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
    paths = [history / name for name in names]
    expected = [FoundFile(str(path), 3, MODIFIED, path.stat().st_ino) for path in paths]
    assert find_files(f"{history}/{pattern}") == expected
    assert find_files(f"file://{history}/{pattern}") == expected


NAMES = (
    "[ab].json",
    "a[1].json",
    "what?.json",
    "all*.json",
    "{a,b}.json",
    "back\\slash.json",
    "two words .json",
    " ",
    "#1%20+&=;@:.json",
    "caf\u00e9.json",  # composed
    "cafe\u0301.json",  # decomposed
    "line\nfeed.json",
    "**",
    "?",
    "-x",
    "~",
    "$HOME",
    "..a",
    "a.tmp",
    "_SUCCESS",
)


@pytest.mark.parametrize("name", NAMES)
def test_name_that_exists_is_taken_literally(tmp_path: Path, name: str) -> None:
    """Beside files that the name would match as a pattern, or in another form of Unicode."""
    for other in ("a.json", "b.json", "a1.json", "whatx.json", "all1.json", "x", *NAMES):
        write(tmp_path / "file" / other, b"{}\n")
        write(tmp_path / "folder" / other / "x.json", b"{}\n")
    assert [file.uri for file in find_files(f"{tmp_path}/file/{name}")] == [f"{tmp_path}/file/{name}"]
    folder = f"{tmp_path}/folder/{name}"
    for address in (folder, f"{folder}/", f"{folder}/x.json", f"file://{folder}"):
        (file,) = find_files(address)
        assert file.uri == f"{folder}/x.json"


def test_folder_has_all_names_but_hidden_and_temporary_ones(tmp_path: Path) -> None:
    for name in NAMES:
        write(tmp_path / name, b"{}\n")
    expected = sorted(f"{tmp_path}/{name}" for name in NAMES if name not in ("..a", "a.tmp", "_SUCCESS"))
    for address in (f"{tmp_path}", f"{tmp_path}/*", f"{tmp_path}/**/*"):
        assert [file.uri for file in find_files(address)] == expected


def test_links_are_followed_everywhere_and_each_file_is_read_once(tmp_path: Path) -> None:
    write(tmp_path / "data" / "x.json", b"{}\n")
    write(tmp_path / "in" / "a.json", b"{}\n")
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "data")
    (tmp_path / "in" / "again").symlink_to("linked")
    (tmp_path / "in" / "loop").symlink_to(".")
    (tmp_path / "in" / "b.json").symlink_to("a.json")
    (tmp_path / "in" / "c.json").symlink_to("../data/x.json")
    (tmp_path / "door").symlink_to("in")
    names = {
        "in": ["in/a.json", "in/again/x.json"],
        "in/*.json": ["in/a.json", "in/c.json"],
        "in/*/x.json": ["in/again/x.json"],
        "in/linked": ["in/linked/x.json"],
        "in/linked/*": ["in/linked/x.json"],
        "in/loop/loop/linked/*": ["in/loop/loop/linked/x.json"],
        "in/b.json": ["in/b.json"],
        "**": ["data/x.json", "in/a.json"],
        "**/*.json": ["data/x.json", "in/a.json"],
        "door": ["door/a.json", "door/again/x.json"],
        "door/a*": ["door/a.json"],
    }
    for pattern, expected in names.items():
        found = [file.uri.removeprefix(f"{tmp_path}/") for file in find_files(f"{tmp_path}/{pattern}")]
        assert found == expected, pattern


def test_web_of_links_is_read_in_linear_time(tmp_path: Path) -> None:
    """Each folder leads to the next by two links: there are 2^40 paths to the last one, and one file."""
    for level in range(40):
        (tmp_path / f"{level}").mkdir()
        for name in "ab":
            (tmp_path / f"{level}" / name).symlink_to(tmp_path / f"{level + 1}")
    write(tmp_path / "40" / "x.json", b"{}\n")
    assert len(find_files(f"{tmp_path}/0")) == len(find_files(f"{tmp_path}/0/**/*.json")) == 1


def test_special_files_are_one_line(tmp_path: Path) -> None:
    write(tmp_path / "a.json", b"{}\n")
    os.mkfifo(tmp_path / "line\nfeed")
    with pytest.raises(SourceError) as caught:
        find_files(str(tmp_path))
    assert str(caught.value) == f"{tmp_path}/line\\nfeed: cannot read: expected a file"
    with pytest.raises(SourceError) as caught:
        find_files("/dev/null")
    assert str(caught.value) == "/dev/null: cannot read: expected a file"


def test_link_to_itself_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x").symlink_to("x")
    with pytest.raises(SourceError) as caught:
        find_files(str(tmp_path))
    assert str(caught.value) == f"{tmp_path}/x: cannot read: Too many levels of symbolic links"


def test_file_that_vanishes_after_the_listing_is_an_error(tmp_path: Path) -> None:
    items = plan_reading(find_files(str(write(tmp_path / "x.json", b"{}\n"))))
    (tmp_path / "x.json").unlink()
    with pytest.raises(SourceError) as caught:
        list(read_item(items[0]))
    assert str(caught.value) == f"{tmp_path}/x.json: cannot open: No such file or directory"


@pytest.mark.parametrize("name", ["x\0y", "a.json/", "a.json/x", "x" * 300, ""])
def test_name_that_no_file_can_have_matches_nothing(tmp_path: Path, name: str) -> None:
    write(tmp_path / "a.json", b"{}\n")
    address = f"{tmp_path}/in/{name}" if not name else f"{tmp_path}/{name}"
    with pytest.raises(SourceError) as caught:
        find_files(address)
    assert str(caught.value) == f"no file matches {address!r}"


def test_listing_grows_linearly_with_files(tmp_path: Path) -> None:
    def find(size: int) -> None:
        folder = tmp_path / f"{size}"
        if not folder.exists():
            for number in range(size):
                path = folder / f"{number % 10}" / f"{number}.json"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
        assert len(find_files(f"{folder}/**/*.json")) == size

    find(4_000)
    find(8_000)
    assert growth_of_cpu_time(find, 4_000) < LINEAR


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


def test_device_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "device").symlink_to("/dev/null")
    with pytest.raises(SourceError) as caught:
        open_source(str(tmp_path / "device")).check()
    assert str(caught.value) == f"{tmp_path}/device: cannot read: expected a file"


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


def test_bucket_where_nobody_answers_is_asked_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "ENDPOINT_URL": "http://127.0.0.1:9",
        "ACCESS_KEY_ID": "a",
        "SECRET_ACCESS_KEY": "b",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    delays: list[float] = []
    monkeypatch.setattr(retry.Clock, "sleep", lambda _, seconds: delays.append(seconds))
    for address in ("s3://bucket/one.json", "s3://bucket/*.json"):
        delays.clear()
        with pytest.raises(SourceError, match="Could not connect"):
            find_files(address)
        assert 0 < sum(delays) <= RETRY_SECONDS
