"""The local store's own promises; tests/live/test_object_stores.py has what all stores must do."""

from __future__ import annotations

import errno
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from sluice.errors import StorageError
from sluice.storage import open_store


def refuse(error: int) -> Callable[..., int]:
    def call(*_: object, **__: object) -> int:
        raise OSError(error, os.strerror(error))

    return call


def tmpfile_refused(open_: Callable[..., int]) -> Callable[..., int]:
    def call(path: str, flags: int, *args: int, **kwargs: int) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return open_(path, flags, *args, **kwargs)

    return call


@pytest.fixture(params=["unnamed", "refused by the file system", "unknown to the OS"])
def any_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways of writing: with O_TMPFILE, and without it for either reason."""
    if request.param == "refused by the file system":
        monkeypatch.setattr(os, "open", tmpfile_refused(os.open))
    elif request.param == "unknown to the OS":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)


def everything(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


@pytest.mark.usefixtures("any_way")
def test_create_of_an_existing_file_changes_nothing(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "deep" / "er"))
    assert store.create("a/b/x.json", b"1\n") is True
    assert store.create("a/b/x.json", b"2\n") is False
    assert store.create("a/b/x.json", b"1\n") is False
    assert store.read("a/b/x.json") == b"1\n"
    assert everything(tmp_path) == ["deep/er/a/b/x.json"]
    assert (tmp_path / "deep/er/a/b/x.json").stat().st_nlink == 1


@pytest.mark.usefixtures("any_way")
def test_files_have_the_mode_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        open_store(str(tmp_path)).create("x", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640


@pytest.mark.usefixtures("any_way")
def test_full_disk_is_one_line_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(str(tmp_path))
    monkeypatch.setattr(os, "write", refuse(errno.ENOSPC))
    with pytest.raises(StorageError) as caught:
        store.create("order/x.json", b"1\n")
    assert str(caught.value) == f"{tmp_path}/order: cannot write x.json: No space left on device"
    assert everything(tmp_path) == []


@pytest.mark.usefixtures("any_way")
def test_file_that_cannot_be_synced_is_never_visible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(str(tmp_path))
    monkeypatch.setattr(os, "fsync", refuse(errno.EIO))
    with pytest.raises(StorageError) as caught:
        store.create("x.json", b"1\n")
    assert str(caught.value) == f"{tmp_path}: cannot write x.json: Input/output error"
    assert everything(tmp_path) == []


@pytest.mark.usefixtures("any_way")
def test_repeated_link_of_the_same_file_counts_as_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def link_twice(source: str, name: str, **kwargs: int) -> None:
        link(source, name, **kwargs)  # type: ignore[arg-type]  # passed on unchanged
        link(source, name, **kwargs)  # type: ignore[arg-type]  # passed on unchanged

    monkeypatch.setattr(os, "link", link_twice)
    assert open_store(str(tmp_path)).create("x.json", b"1\n") is True
    assert open_store(str(tmp_path)).create("x.json", b"1\n") is False


@pytest.mark.usefixtures("any_way")
def test_writes_in_parts_are_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:3]))
    store = open_store(str(tmp_path))
    assert store.create("x.json", b"12345678") is True
    assert store.read("x.json") == b"12345678"


def test_file_in_place_of_a_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "order").write_bytes(b"")
    store = open_store(str(tmp_path))
    attempts: list[tuple[Callable[[], object], str]] = [
        (lambda: store.create("order/x.json", b""), "/order: cannot write x.json: Not a directory"),
        (lambda: store.read("order/x.json"), "/order: cannot read x.json: Not a directory"),
        (lambda: store.read("x.json"), ": cannot read x.json: No such file or directory"),
    ]
    for attempt, message in attempts:
        with pytest.raises(StorageError) as caught:
            attempt()
        assert str(caught.value) == f"{tmp_path}{message}"
    assert store.list("order") == list(store.walk("order")) == []


def test_listing_has_no_hidden_files_and_of_a_missing_folder_is_empty(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    for path in ("b.json", "a.json", ".hidden.json", "sub/c.json", ".git/d.json", "sub/.e"):
        store.create(path, b"")
    assert store.list("") == ["a.json", "b.json"]
    assert store.list("sub") == ["c.json"]
    assert store.list("missing") == []
    assert list(store.walk()) == ["a.json", "b.json", "sub/c.json"]
    assert list(store.walk("sub")) == ["sub/c.json"]
    assert list(store.walk(after="a.json")) == ["b.json", "sub/c.json"]
    assert list(store.walk(after="b")) == ["b.json", "sub/c.json"]
    assert list(store.walk("sub", "b")) == ["sub/c.json"]
    assert list(store.walk("sub", "c.json")) == []
    assert list(store.walk("missing")) == []


def test_relative_root_is_resolved_against_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_store("out").create("x.json", b"1") is True
    assert open_store(".").create("y.json", b"2") is True
    assert everything(tmp_path) == ["out/x.json", "y.json"]


def create_all(root: str, token: bytes, results: multiprocessing.Queue[list[int]]) -> None:
    store = open_store(root)
    results.put([number for number in range(100) if store.create(f"order/{number}.json", token * 1000)])


@pytest.mark.parametrize("hidden_files", [False, True])
def test_two_processes_create_each_file_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hidden_files: bool
) -> None:
    if hidden_files:
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [
        context.Process(target=create_all, args=(str(tmp_path), token, results)) for token in (b"a", b"b")
    ]
    for process in processes:
        process.start()
    created = [number for _ in processes for number in results.get(timeout=60)]
    for process in processes:
        process.join()
    assert sorted(created) == list(range(100))
    assert {path.read_bytes() for path in tmp_path.rglob("*.json")} <= {b"a" * 1000, b"b" * 1000}
    assert len(everything(tmp_path)) == 100


def test_writer_killed_before_its_link_leaves_no_visible_file(tmp_path: Path) -> None:
    def die(*_: object, **__: object) -> None:
        os._exit(9)

    def write() -> None:
        os.link = die
        open_store(str(tmp_path)).create("x.json", b"1\n" * 1000)

    process = multiprocessing.get_context("fork").Process(target=write)
    process.start()
    process.join()
    assert process.exitcode == 9
    assert open_store(str(tmp_path)).list("") == []
    assert open_store(str(tmp_path)).create("x.json", b"2\n") is True
