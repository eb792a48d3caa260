from __future__ import annotations

import itertools
import queue
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from apache_beam.runners.worker import sdk_worker
from grpc import RpcError
from sluice.runtime.process_settings import (
    broken_connections_ignored,
    bundle_tracebacks_discarded,
    bundles_are_processed,
    stream_readers,
)

from devservers.waiting import wait_until


class Broken(RpcError):
    """A connection that a runner that ended has broken."""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("name", ["read_state", "read_grpc_client_inputs", "run_worker_job-001_go"])
def test_connection_that_breaks_after_the_run_prints_no_traceback(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    before, noticed = threading.excepthook, threading.Event()

    def read() -> None:
        noticed.wait()
        raise Broken

    reader = threading.Thread(target=read, name=name)
    with broken_connections_ignored():
        reader.start()
        assert stream_readers() == [reader]
    assert threading.excepthook is not before
    noticed.set()
    reader.join()
    wait_until(lambda: threading.excepthook is before, "the hook is as before")
    assert capfd.readouterr().err == ""


def test_hook_of_threads_is_as_before_once_all_connections_are_closed() -> None:
    before = threading.excepthook
    with broken_connections_ignored():
        assert threading.excepthook is not before
    assert threading.excepthook is before


def test_runs_that_overlap_without_end_leave_no_hook_of_those_that_have_ended() -> None:
    before = threading.excepthook
    runs = [broken_connections_ignored() for _ in range(4)]
    runs[0].__enter__()
    for ended, begun in itertools.pairwise(runs):
        begun.__enter__()
        ended.__exit__(None, None, None)
        hook: Any = threading.excepthook
        assert hook.before is before
    runs[-1].__exit__(None, None, None)
    assert threading.excepthook is before


def test_connection_of_an_earlier_run_leaves_the_hook_as_it_was() -> None:
    before, over = threading.excepthook, threading.Event()
    earlier = threading.Thread(target=over.wait, name="read_state")
    earlier.start()
    try:
        with broken_connections_ignored():
            assert stream_readers() == [earlier]
        assert threading.excepthook is before
    finally:
        over.set()
        earlier.join()


@pytest.mark.parametrize("ending", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_tracebacks_of_bundles_are_discarded_until_the_last_of_runs_that_overlap_has_ended(
    ending: tuple[int, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [bundle_tracebacks_discarded() for _ in ending]
    for run in runs:
        run.__enter__()
    for ended in ending:
        sdk_worker.print("a traceback")
        runs[ended].__exit__(None, None, None)
    assert capsys.readouterr() == ("", "")
    assert "print" not in vars(sdk_worker)


def test_traceback_of_a_bundle_that_fails_after_its_run_is_discarded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    over, responses = threading.Event(), queue.SimpleQueue[Any]()

    def process() -> None:
        over.wait()
        message = "the store does not answer"
        raise TimeoutError(message)

    bundle = threading.Thread(
        target=sdk_worker.SdkHarness._execute,
        args=(SimpleNamespace(_responses=responses), process, SimpleNamespace(instruction_id="bundle_1")),
    )
    with bundle_tracebacks_discarded():
        bundle.start()
        wait_until(bundles_are_processed, "the bundle is processed")
    over.set()
    bundle.join()
    assert "the store does not answer" in responses.get().error
    assert capsys.readouterr() == ("", "")
    with bundle_tracebacks_discarded():
        pass
    assert "print" not in vars(sdk_worker)
