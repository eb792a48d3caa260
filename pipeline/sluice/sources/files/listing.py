"""Find and open the files of a source. Every failure becomes one line that names the file."""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from functools import cache
from typing import Any, BinaryIO

from apache_beam.io.filesystem import BeamIOError, CompressionTypes, FileSystem
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.options.value_provider import RuntimeValueProvider

from sluice.addresses import mask, mask_path
from sluice.clock import storable
from sluice.errors import SourceError
from sluice.sources.files.found_file import FoundFile
from sluice.sources.files.objects import NOT_FOUND, find_object, list_objects
from sluice.sources.files.patterns import Pattern, States, literal_start, scheme_of, split_pattern
from sluice.storage.base import printable


def find_files(url: str) -> list[FoundFile]:
    """Return the files that `url` names, in order of name.

    A file of exactly this name is taken first, whatever characters its name has; then a folder, with all files below
    it; then `url` is a pattern (see `patterns`). Links to files and folders are followed. A file that several paths
    lead to is returned once.

    Raises:
        SourceError: there is none, or they cannot be listed.

    """
    with reporting(url, "list"):
        files = _find_local(url.removeprefix("file://")) if scheme_of(url) == "file" else _find_remote(url)
    if not files:
        message = f"no file matches {_shown(url)!r}"
        raise SourceError(message)
    return sorted(files)


def _find_local(path: str) -> list[FoundFile]:
    if os.path.isdir(path):
        paths = _walk(path, "**")
    elif os.path.lexists(path):
        paths = [path]  # a name may hold what would be a wildcard
    else:
        folder, pattern = split_pattern(path)
        paths = _walk(folder or ".", pattern) if os.path.isdir(folder or ".") else []
    return [_found_local(os.path.abspath(path)) for path in paths]


def _walk(top: str, text: str) -> Collection[str]:
    """Return the paths of the files below `top` that match; of several paths to one file the real one, or the first.

    A folder is read once for each way in which a pattern can go on from it, so loops of links end. Links to folders
    come last and names are in order, so that the same tree always gives the same paths.
    """
    pattern = Pattern(text)
    files: dict[str, str] = {}
    seen: set[tuple[str, States]] = set()
    waiting = deque([(top, os.path.realpath(top), pattern.start)])
    while waiting:
        folder, real_folder, states = waiting.popleft()
        if (real_folder, states) in seen:
            continue
        seen.add((real_folder, states))
        with reporting(folder, "list"), os.scandir(folder) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
        for entry in entries:
            following = pattern.step(states, entry.name)
            if not following:
                continue
            path, real = os.path.join(folder, entry.name), os.path.join(real_folder, entry.name)
            if entry.is_symlink():
                real = os.path.realpath(path)
                if os.path.isdir(path):
                    waiting.append((path, real, following))
                    continue
            elif entry.is_dir():
                waiting.appendleft((path, real, following))
                continue
            if pattern.is_match(following):
                files[real] = min(
                    files.get(real, path), path, key=lambda name: (not _is_at(name, real), name)
                )
    return files.values()


def _is_at(path: str, real: str) -> bool:
    return os.path.abspath(path) == real


def _found_local(path: str) -> FoundFile:
    with reporting(path, "read"):
        status = os.stat(path)
    name = path.encode("utf-8", "replace").decode()
    if name != path or not stat.S_ISREG(status.st_mode):
        what = "a name in UTF-8" if name != path else "a file"
        message = f"{printable(name)}: cannot read: expected {what}"
        raise SourceError(message)
    return FoundFile(path, status.st_size, storable(status.st_mtime), status.st_ino)


def _find_remote(url: str) -> list[FoundFile]:
    _skip_credentials(url)
    files = _file_system(url)
    scheme, _, place = url.partition("://")
    bucket, slash, key = place.partition("/")
    if key and not key.endswith("/"):
        try:
            return [find_object(files, url)]
        except _failures(scheme) as error:
            if getattr(error, "code", None) != NOT_FOUND:
                raise
    folder = f"{scheme}://{bucket}/{key}{'/' if key and not key.endswith('/') else ''}"
    return _list_remote(files, folder, "", "**") or _list_remote(
        files, f"{scheme}://{bucket}/{split_pattern(key)[0]}", *_start_and_pattern(key)
    )


def _file_system(url: str) -> FileSystem:
    """Return Beam's file system of an address. That of S3 needs options, which only a pipeline has set."""
    if FileSystems._pipeline_options is None and RuntimeValueProvider.runtime_options is None:
        FileSystems.set_options(PipelineOptions([]))
    return FileSystems.get_filesystem(url)


def _start_and_pattern(key: str) -> tuple[str, str]:
    pattern = split_pattern(key)[1]
    return literal_start(pattern), pattern


def _list_remote(files: FileSystem, folder: str, start: str, text: str) -> list[FoundFile]:
    """Return the objects below `folder` that match; all of their names begin with `start`."""
    pattern = Pattern(text)
    return [
        found
        for found in list_objects(files, folder + start)
        # An empty object whose name ends with a slash is what consoles show as an empty folder.
        if (found.size or not found.uri.endswith("/"))
        and pattern.matches(found.uri.removeprefix(folder).rstrip("/"))
    ]


def _skip_credentials(uri: str) -> None:
    """Prevent Beam from searching for credentials on an emulator: where there are none, it tries for 25 s.

    Its option --no_auth has that purpose, but its client for GCS ignores it.
    """
    if scheme_of(uri) == "gs" and os.environ.get("STORAGE_EMULATOR_HOST"):
        from apache_beam.internal.gcp.auth import _Credentials

        _Credentials._credentials_init = True


@contextmanager
def open_file(uri: str) -> Iterator[BinaryIO]:
    """Open a file for reading; it is seekable."""
    with reporting(uri, "open"):
        if scheme_of(uri) == "file":
            handle: Any = open(uri, "rb", buffering=0)  # noqa: SIM115  closed below; blocks need no buffer
        else:
            _skip_credentials(uri)
            handle = FileSystems.open(uri, compression_type=CompressionTypes.UNCOMPRESSED)
    with closing(handle):
        # Beam's buffer for S3 fetches 16 MiB at every start; below it are plain ranged requests.
        yield getattr(handle, "raw", handle)


def check_unchanged(file: FoundFile, reader: BinaryIO) -> None:
    """Make sure that `reader` reads the file that was found; a file on a local disk may have grown since.

    Raises:
        SourceError: it was replaced or changed, so that its offsets mean something else.

    """
    if scheme_of(file.uri) == "file":
        with reporting(file.uri, "read"):
            status = os.fstat(reader.fileno())
        has_grown = status.st_ino == file.inode and status.st_size > file.size
        now = FoundFile(file.uri, status.st_size, storable(status.st_mtime))
        is_same = has_grown or now[1:3] == file[1:3]
    else:
        with reporting(file.uri, "read"):
            now = find_object(_file_system(file.uri), file.uri)
        # Listings have fractions of a second, single objects have none.
        is_same = (now.etag, now.size) == (file.etag, file.size) and abs(now.modified - file.modified) < 1
    if not is_same:
        message = (
            f"{printable(file.uri)}: cannot read: expected the file that was there when the run began, "
            f"got another one under its name; run again"
        )
        raise SourceError(message)


@contextmanager
def reporting(uri: str, action: str) -> Iterator[None]:
    """Turn an error of a file system into a SourceError of one line: the file, the action, the reason."""
    failures = _failures(scheme_of(uri))
    try:
        yield
    except failures as error:
        message = f"{printable(_shown(uri))}: cannot {action}: {_reason(error)}"
        raise SourceError(message) from error


def _shown(uri: str) -> str:
    """Return the address of a file, without what looks like the options of a signed URL."""
    return mask(uri.removeprefix("file://")) if scheme_of(uri) == "file" else mask_path(uri, "://")


@cache
def _failures(scheme: str) -> tuple[type[Exception], ...]:
    if scheme == "gs":
        from google.api_core.exceptions import GoogleAPIError
        from google.auth.exceptions import GoogleAuthError
        from requests.exceptions import RequestException

        return OSError, GoogleAPIError, GoogleAuthError, RequestException, NotImplementedError
    if scheme == "s3":
        from apache_beam.io.aws.clients.s3.messages import S3ClientError
        from botocore.exceptions import BotoCoreError, ClientError

        return OSError, S3ClientError, BotoCoreError, ClientError
    return (OSError,)


def _reason(error: Exception) -> str:
    while isinstance(error, BeamIOError) and error.exception_details:
        error = next(iter(error.exception_details.values()))
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()) or type(error).__name__
