"""Files in a folder: complete and synced before they get their name, by a link that replaces nothing."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from sluice.storage.base import Names, Rooted, failure, is_visible

_NO_TMPFILE = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOSYS, errno.ENOENT)
"""Errors of a kernel or file system without O_TMPFILE, and of a link where /proc is missing."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class LocalStore(Rooted):
    """A folder of a POSIX file system that has hard links."""

    def list(self, folder: str) -> Names:
        """Return the sorted names of the files directly in `folder`; links to files count."""
        try:
            with os.scandir(self.url(folder)) as entries:
                return sorted(entry.name for entry in entries if is_visible(entry.name) and entry.is_file())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise failure(self, "list", f"{folder}/", error) from error

    def walk(self, folder: str = "", after: str = "") -> Iterator[str]:
        """Yield the paths of the files below `folder`, one folder read at a time."""
        start = f"{folder}/{after}" if folder else after
        return (path for path in self._walk(folder) if path > start)

    def _walk(self, folder: str) -> Iterator[str]:
        try:
            with os.scandir(self.url(folder)) as scan:
                entries = sorted((entry.name, entry.is_dir()) for entry in scan if is_visible(entry.name))
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise failure(self, "list", f"{folder}/", error) from error
        for name, is_folder in entries:
            path = f"{folder}/{name}" if folder else name
            if is_folder:
                yield from self._walk(path)
            else:
                yield path

    def read(self, path: str) -> bytes:
        """Return the whole content of a file."""
        try:
            with open(self.url(path), "rb") as file:
                return file.read()
        except OSError as error:
            raise failure(self, "read", path, error) from error

    def created_at(self, path: str) -> datetime:
        """Return the modification time of a file, which is never changed; a copy must keep it."""
        try:
            return _EPOCH + timedelta(microseconds=os.stat(self.url(path)).st_mtime_ns // 1000)
        except OSError as error:
            raise failure(self, "read", path, error) from error

    def create(self, path: str, data: bytes) -> bool:
        """Write a file without its name, sync it, and link it to its name; then sync the folder."""
        folder, _, name = self.url(path).rpartition("/")
        try:
            with _opened_folder(folder or "/") as directory:
                try:
                    created = _create_unnamed(directory, name, data)
                except OSError as error:
                    if error.errno not in _NO_TMPFILE:
                        raise
                    created = _create_hidden(directory, name, data)
                os.fsync(directory)  # without it a power cut could forget the name of a synced file
                return created
        except OSError as error:
            raise failure(self, "write", path, error) from error


@contextmanager
def _opened_folder(folder: str) -> Iterator[int]:
    flags = os.O_RDONLY | os.O_DIRECTORY
    try:
        directory = os.open(folder, flags)
    except FileNotFoundError:
        _make_folder(folder)
        directory = os.open(folder, flags)
    try:
        yield directory
    finally:
        os.close(directory)


def _make_folder(folder: str) -> None:
    """Make a folder and its missing parents, each durable in the one above it."""
    parent = os.path.dirname(folder) or "."
    try:
        os.mkdir(folder)
    except FileNotFoundError:
        _make_folder(parent)
        _make_folder(folder)
        return
    except FileExistsError:
        return  # another writer made it just now; a file in its place is reported by the open that follows
    directory = os.open(parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _create_unnamed(directory: int, name: str, data: bytes) -> bool:
    """Write a file that has no name until it is complete, so a crash leaves nothing behind. Linux only."""
    if not hasattr(os, "O_TMPFILE"):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    file = os.open(".", os.O_TMPFILE | os.O_WRONLY, 0o666, dir_fd=directory)
    try:
        _write_durably(file, data)
        # A directory descriptor makes Python call linkat(2): link(2) would link the /proc symlink itself.
        return _link(file, f"/proc/self/fd/{file}", name, None, directory)
    finally:
        os.close(file)


def _create_hidden(directory: int, name: str, data: bytes) -> bool:
    """Write under a hidden name, which no listing shows, and link it; a crash may leave the hidden file."""
    hidden = f".{name}.{os.getpid()}.{secrets.token_hex(4)}.part"
    file = os.open(hidden, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666, dir_fd=directory)
    try:
        _write_durably(file, data)
        return _link(file, hidden, name, directory, directory)
    finally:
        os.close(file)
        os.unlink(hidden, dir_fd=directory)


def _write_durably(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]  # one call writes at most 2 GiB
    os.fsync(file)


def _link(file: int, source: str, name: str, source_directory: int | None, directory: int) -> bool:
    try:
        os.link(source, name, src_dir_fd=source_directory, dst_dir_fd=directory, follow_symlinks=True)
    except FileExistsError:
        # An NFS server that repeats a link whose answer was lost finds the caller's own file in the way.
        return os.path.samestat(os.stat(name, dir_fd=directory, follow_symlinks=False), os.fstat(file))
    return True
