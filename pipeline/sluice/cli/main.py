"""The process of the `sluice` command: whatever happens, it ends with one line and an exit code.

The commands are imported within `main`, so that an interruption while they are imported, which takes a second, ends in
the same way.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

from sluice.runtime.garbage_collection import STARTING, rare_collections

_FAILED = 1
_BY_SIGNAL = 128
"""A shell's exit code of what a signal ended is this, plus the number of the signal."""

_ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_INTERRUPTED = "sluice: interrupted; what was written stays valid, and the next run completes it"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line, by default that of the process, which then must end.

    Returns:
        0 done, 1 failed, 2 a mistake of the user, 130 interrupted by Ctrl-C, 143 ended by SIGTERM, 129 by SIGHUP.

    """
    signals, end = _Signals(), _ProcessEnd()
    if arguments is None:
        atexit.register(end.end)  # before all others, so that it is called after them
    with signals.handled(ends_process=arguments is None), rare_collections(STARTING):
        code = _run(arguments, signals)
        signals.over = True
    end.code = code
    return code


class _ProcessEnd:
    """Ends the process once Python has called all that is to be called at its end.

    Python then would take all modules and objects apart, one by one, which takes a run 0.6 s.
    """

    code: int | None = None
    """Of the command; None: it has not ended, and Python says why."""

    def end(self) -> None:
        if self.code is None:
            return
        for stream in (sys.stdout, sys.stderr):
            try:
                if stream is not None:  # closed when the process was started
                    stream.flush()
            except (OSError, ValueError):
                return  # Python finds that too, and ends with its own code for it
        os._exit(self.code)


def _run(arguments: Sequence[str] | None, signals: _Signals) -> int:
    debug = "--debug" in (sys.argv[1:] if arguments is None else arguments)
    try:
        from sluice.cli.output import background_failures_logged, logging_to_standard_error, standard_streams

        ends_process = arguments is None
        logging = logging_to_standard_error(ends_process=ends_process)
        failures = background_failures_logged(debug=debug, ends_process=ends_process)
        with standard_streams(), logging, failures:
            from sluice.cli.commands import run_command

            return run_command(arguments)
    except SystemExit as end:  # of argparse, which has printed why
        return end.code if isinstance(end.code, int) else 0 if end.code is None else _FAILED
    except BaseException as error:  # those of native libraries are no Exception
        if signals.first or isinstance(
            error, KeyboardInterrupt
        ):  # a library may have made an error of its own of it
            signals.reported = True
            with suppress(OSError, ValueError):
                print(_INTERRUPTED, file=sys.stderr, flush=True)
            return _BY_SIGNAL + (signals.first or signal.SIGINT)
        return _fail(error, debug=debug)


def _fail(error: BaseException, *, debug: bool) -> int:
    from sluice.cli.output import print_failure, print_traceback
    from sluice.errors import SluiceError

    if debug:
        print_traceback(error)
    print_failure(error)
    return error.exit_code if isinstance(error, SluiceError) else _FAILED


_BURST_SECONDS = 0.25
"""Signals that come so soon after the first are one request: GNU `timeout` sends two within microseconds."""


class _Signals:
    """The signals that end a command: the first interrupts it as Ctrl-C does, a later one ends the process at once."""

    def __init__(self) -> None:
        self.first = 0
        self._since = 0.0
        self.reported = False
        """The line of an interrupted command is printed."""
        self.over = False
        """The command has ended, and printed its line."""

    def handle(self, number: int, _frame: FrameType | None) -> None:
        if self.over:
            return
        if self.first:
            if time.monotonic() - self._since < _BURST_SECONDS:
                return
            if not self.reported:
                with suppress(OSError):
                    os.write(2, f"{_INTERRUPTED}\n".encode())
            os._exit(_BY_SIGNAL + self.first)
        self.first, self._since = number, time.monotonic()
        raise KeyboardInterrupt

    @contextmanager
    def handled(self, *, ends_process: bool) -> Iterator[None]:
        """Handle signals, except those that the process was started to ignore, as `nohup` does with SIGHUP."""
        if threading.current_thread() is not threading.main_thread():
            yield  # Python gives signals to no other
            return
        before = {
            number: handler
            for number in _ENDING_SIGNALS
            if (handler := signal.getsignal(number)) in (signal.SIG_DFL, signal.default_int_handler)
        }
        for number in before:
            signal.signal(number, self.handle)
        try:
            yield
        finally:
            for number, handler in before.items():
                # A process that ends keeps its exit code, whatever else of a burst of signals comes.
                signal.signal(number, signal.SIG_IGN if ends_process else handler)
