"""Errors of clients, drivers and disks -> WarehouseError: one line that names the warehouse, without secrets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from sluice.addresses import mask_addresses
from sluice.errors import WarehouseError


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, or its type if it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


@contextmanager
def client_errors(
    warehouse: str,
    expected: str,
    types: tuple[type[Exception], ...],
    describe: Callable[[Any], str] = first_line,
    *,
    secrets: Sequence[str] = (),
    error_type: Callable[[Any], type[WarehouseError]] = lambda _: WarehouseError,
) -> Iterator[None]:
    """Raise errors of these types as WarehouseError: `warehouse: expected …: what the client says`.

    Args:
        warehouse: its URL or path as it may be shown; an OSError that names a file is of that file.
        expected: what should have happened, for the message.
        types: of the client's errors; all others pass as they are.
        describe: error -> its text in one line.
        secrets: what the client may quote; replaced by `***`, and the cause is cut off, since it could quote them too.
        error_type: error -> the WarehouseError, or subclass of it, that is raised.

    """
    try:
        yield
    except types as error:
        said = mask_addresses(describe(error))
        for secret in filter(None, secrets):
            said = said.replace(secret, "***")
        where = getattr(error, "filename", None) or warehouse
        message = f"{where}: expected {expected}: {said}"
        raise error_type(error)(message) from (None if secrets else error)


def file_errors(path: str | Path) -> AbstractContextManager[None]:
    """Raise what a disk raises as WarehouseError; `path` is named where the error names no file."""
    return client_errors(
        str(path),
        "to read or write the warehouse",
        (OSError,),
        lambda error: str(error.strerror or error),
    )
