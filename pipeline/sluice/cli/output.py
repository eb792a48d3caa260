"""What a command prints: names and data as text, one line for each failure, and no word lost without an error."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

import msgspec

from sluice.errors import OutputError, SluiceError, quote

_LONGEST = 1000
"""Characters of an unexpected error in its line; some libraries write pages."""

_RAISED = re.compile(r"^(?:\w+\.)*\w+(?:Error|Exception|Exit|Interrupt|Warning): .*", re.MULTILINE)


def printable(text: str) -> str:
    """Return `text` on one line, with what a terminal would obey or not show escaped as in Python's literals."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def print_line(text: str) -> None:
    """Print a line on standard output.

    Raises:
        OutputError: standard output is closed or full.

    """
    print(printable(text))


def print_text(text: str) -> None:
    """Print text of ours that has lines, as it is.

    Raises:
        OutputError: standard output is closed or full.

    """
    print(text, end="")


def print_json(value: object) -> None:
    """Print a value as JSON on standard output, in ASCII, so that no character of data reaches a terminal as it is.

    Raises:
        OutputError: standard output is closed or full.

    """
    print(json.dumps(msgspec.to_builtins(value), indent=2))


def print_failure(error: BaseException) -> None:
    """Print the one line of a command that failed on standard error, unless that is closed or full as well."""
    if isinstance(error, SluiceError):
        text = str(error)
    elif (
        isinstance(error, OSError) and error.filename is not None
    ):  # of the user's system, not of this program
        text = f"{quote(error.filename)}: {error.strerror}"
    else:
        text = describe_unexpected(error)
    with suppress(OSError, ValueError):
        print(printable(f"sluice: {text}"), file=sys.stderr, flush=True)


def describe_unexpected(error: BaseException) -> str:
    """Return the line of an exception that is none of ours, without the secrets of addresses in its text."""
    from sluice.addresses import mask_addresses

    text = str(error)
    line = f"{type(error).__name__}: {text}" if text else type(error).__name__
    if "Traceback (most recent call last)" in text:  # of a worker, as runners hand it over
        line = [line, *_RAISED.findall(text)][-1]
    line = " ".join(mask_addresses(line).split())
    return f"{line[:_LONGEST]}; --debug shows the traceback"


def print_traceback(error: BaseException) -> None:
    """Print the traceback of an error on standard error, for `--debug`, without the secrets of addresses in it."""
    from sluice.addresses import mask_addresses

    with suppress(OSError, ValueError):
        print(mask_addresses("".join(traceback.format_exception(error))), file=sys.stderr, end="")


@contextmanager
def standard_streams() -> Iterator[None]:
    """Have a failure to print raise OutputError, and characters that a stream cannot encode be escaped.

    A standard stream that is closed is opened to nothing, so that no file of ours gets its number.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    output, stream = sys.stdout, _Output(sys.stdout)
    error: TextIO | None = sys.stderr
    if error is None:  # it was closed; workers write their log lines to its descriptor
        sys.stderr = os.fdopen(2, "w", closefd=False)
    handlings = [(given, given.errors) for given in (sys.stdout, sys.stderr) if hasattr(given, "reconfigure")]
    for given, _ in handlings:
        given.reconfigure(errors="backslashreplace")
    sys.stdout = stream
    try:
        yield
        stream.flush()
    except SystemExit:  # after help
        stream.flush()
        raise
    finally:
        with suppress(OutputError):
            stream.flush()
        sys.stdout = output
        sys.stderr = sys.stderr if error is None else error  # not None: print would write to standard output
        for given, errors in handlings:
            with suppress(OSError, ValueError):  # it cannot be written
                given.reconfigure(errors=errors)


class _Output:
    """Standard output whose failures are errors of ours."""

    def __init__(self, stream: TextIO | None) -> None:
        """`stream` is None where the process was started with a closed standard output."""
        self._stream = stream

    def write(self, text: str) -> int:
        with self._failures():
            if self._stream is None:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            return self._stream.write(text)

    def flush(self) -> None:
        with self._failures():
            if self._stream is not None:
                self._stream.flush()

    def isatty(self) -> bool:
        return self._stream is not None and self._stream.isatty()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            self._discard()
            message = f"cannot write to standard output: {reason}"
            raise OutputError(message) from error

    def _discard(self) -> None:
        """Lead what is still in the stream's buffer to nothing: Python would fail to write it once more at its end."""
        stream, self._stream = self._stream, None
        with suppress(OSError, ValueError, AttributeError):
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, stream.fileno())  # type: ignore[union-attr]  # None has no such method: suppressed
            os.close(nothing)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


@contextmanager
def logging_to_standard_error(*, ends_process: bool = False) -> Iterator[None]:
    """Show what the product itself logs while a command runs; what libraries log is not shown.

    If the process ends with the command, that holds to its end: threads of libraries log for as long as they live.
    """
    nowhere = (
        logging.NullHandler()
    )  # without a handler Python would print warnings and add a handler of its own
    logging.getLogger().addHandler(nowhere)
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter("%(asctime)s sluice: %(message)s"))
    logger = logging.getLogger("sluice")
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        if not ends_process:
            logging.getLogger().removeHandler(nowhere)
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


@contextmanager
def background_failures_logged(*, debug: bool, ends_process: bool = False) -> Iterator[None]:
    """Log an exception that ends a thread, or that Python ignores, as one line; `debug` keeps their tracebacks.

    If the process ends with the command, that holds to its end: threads of libraries live for as long.
    """
    if debug:
        yield
        return
    logger = logging.getLogger("sluice")
    before = threading.excepthook, sys.unraisablehook

    def on_thread(failed: threading.ExceptHookArgs) -> None:
        # A connection of gRPC breaks when a run ends early, and the run says why.
        expected = any(base.__name__ in ("RpcError", "SystemExit") for base in failed.exc_type.__mro__)
        if failed.exc_value is not None and not expected:
            logger.warning("a thread ended: %s", describe_unexpected(failed.exc_value))

    threading.excepthook, sys.unraisablehook = on_thread, lambda _: None
    try:
        yield
    finally:
        if not ends_process:
            threading.excepthook, sys.unraisablehook = before
