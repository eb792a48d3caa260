"""Errors of ours that a worker raised, as the launcher raises them again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sluice.errors import decode_error


@contextmanager
def worker_errors() -> Iterator[None]:
    """Raise a SluiceError that a worker raised as what it was: the same class, the same text.

    Runners hand a worker's exception over as a RuntimeError whose text is the worker's traceback, with the data of
    the exception in it: see `errors.SluiceError`. What else fails is raised as it is.
    """
    try:
        yield
    except RuntimeError as failure:
        error = decode_error(str(failure))
        if error is None:
            raise
        raise error from failure
