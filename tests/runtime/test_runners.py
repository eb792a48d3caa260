from __future__ import annotations

from collections.abc import Iterator

import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.worker import sdk_worker
from grpc import RpcError
from sluice.errors import RunnerError, SourceError
from sluice.runtime.prism import Prism
from sluice.runtime.runners import beam_silenced, runner_errors, streaming_runner

from devservers.tools import require_program

FAILED = """\
Pipeline job-001 failed in state FAILED: panic in stage.Execute bundle processing goroutine: runtime error: invalid \
memory address or nil pointer dereference, stage: &{ID:stage-012 transforms:[Gather]},stackTrace:
goroutine 3148 [running]:"""


@pytest.fixture(scope="module")
def server() -> Iterator[Prism]:
    with streaming_runner(PipelineOptions([f"--prism_location={require_program('prism')}"])) as (_, running):
        yield running


@pytest.mark.parametrize(
    ("failed", "reason"),
    [
        (RuntimeError(FAILED), "failed: runtime error: invalid memory address or nil pointer dereference"),
        (
            RuntimeError("Pipeline job-001 failed in state FAILED:\nunknown"),
            "failed: Pipeline job-001 failed in state FAILED: unknown",
        ),
        (RpcError(), "broke the connection: RpcError"),
    ],
)
def test_fault_of_prism_is_told_from_those_of_steps(
    server: Prism, failed: Exception, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sluice.runtime.runners._DEATH_SECONDS", 0.01)
    with pytest.raises(RunnerError) as raised, runner_errors(server):
        raise failed
    assert str(raised.value) == f"Prism, the runner of streaming jobs, {reason}"


@pytest.mark.parametrize(
    "failed",
    [
        RuntimeError(f"failed in state FAILED: Traceback (most recent call last):\n{SourceError('gone')!r}"),
        RuntimeError(
            "failed in state FAILED: Traceback (most recent call last):\n  File x\nValueError: a bug"
        ),
        ValueError("a bug"),
    ],
)
def test_errors_of_steps_are_raised_unchanged(server: Prism, failed: Exception) -> None:
    with pytest.raises(type(failed)) as raised, runner_errors(server):
        raise failed
    assert raised.value is failed


def test_failed_bundle_prints_no_traceback_of_beam(capsys: pytest.CaptureFixture[str]) -> None:
    with beam_silenced():
        sdk_worker.print("a traceback")
    assert capsys.readouterr() == ("", "")
    assert "print" not in vars(sdk_worker)
