"""Find and open the files of a source. Every failure becomes one line that names the file."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from typing import Any, BinaryIO, NamedTuple

from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

from sluice.errors import SourceError

_REMOTE = ("gs", "s3")


class FoundFile(NamedTuple):
    """A file that a pattern matches; `size` in bytes as stored, `modified` in epoch seconds."""

    uri: str
    size: int
    modified: float


def find_files(url: str) -> list[FoundFile]:
    """Return the files that match `url`, in order of name.

    Raises:
        SourceError: there is none, or they cannot be listed.

    """
    with reporting(url, "list"):
        files = _find_local(url.removeprefix("file://")) if scheme_of(url) == "file" else _find_remote(url)
    if not files:
        message = f"no file matches {url!r}"
        raise SourceError(message)
    return sorted(files)


def scheme_of(url: str) -> str:
    """Return `gs`, `s3`, or `file` for all that lies on a local disk."""
    scheme = url.partition("://")[0]
    return scheme if scheme in _REMOTE else "file"


def _find_local(path: str) -> list[FoundFile]:
    if os.path.isdir(path):
        paths = list(_walk(path))
    elif os.path.lexists(path):
        paths = [path]  # a name may hold what would be a wildcard
    else:
        paths = [found for found in glob.glob(path, recursive=True) if not os.path.isdir(found)]
    return [_found_local(os.path.abspath(found)) for found in paths]


def _walk(folder: str) -> Iterator[str]:
    def fail(error: OSError) -> None:
        raise error

    for parent, folders, names in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (os.path.join(parent, name) for name in names if not name.startswith("."))


def _found_local(path: str) -> FoundFile:
    with reporting(path, "read"):
        status = os.stat(path)
    name = path.encode("utf-8", "replace").decode()
    if name != path or not stat.S_ISREG(status.st_mode):
        what = "a name in UTF-8" if name != path else "a file"
        message = f"{name}: cannot read: expected {what}"
        raise SourceError(message)
    return FoundFile(path, status.st_size, status.st_mtime)


def _find_remote(url: str) -> list[FoundFile]:
    bucket_alone = "/" not in url.partition("://")[2].rstrip("/")
    _skip_credentials(url)
    matched = []
    if not bucket_alone and not url.endswith("/"):
        matched = FileSystems.match([url])[0].metadata_list
    if not matched and not any(wildcard in url for wildcard in "*?["):
        matched = FileSystems.match([f"{url.rstrip('/')}/**"])[0].metadata_list
    return [
        FoundFile(file.path, file.size_in_bytes, float(file.last_updated_in_seconds or 0))
        for file in matched
        if not file.path.endswith("/") and ("/." in url or "/." not in file.path)
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


@contextmanager
def reporting(uri: str, action: str) -> Iterator[None]:
    """Turn an error of a file system into a SourceError of one line: the file, the action, the reason."""
    failures = _failures(scheme_of(uri))
    try:
        yield
    except failures as error:
        message = f"{uri}: cannot {action}: {_reason(error)}"
        raise SourceError(message) from error


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
