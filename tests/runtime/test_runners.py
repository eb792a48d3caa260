from __future__ import annotations

import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.worker import sdk_worker
from sluice.errors import WorkerError
from sluice.runtime.runners import streaming_runner

from devservers.tools import require_program

FAILED = """\
Pipeline job-001 failed in state FAILED: panic in stage.Execute bundle processing goroutine: runtime error: invalid \
memory address or nil pointer dereference, stage: &{ID:stage-012 transforms:[Gather]},stackTrace:
goroutine 3148 [running]:"""


@pytest.fixture
def options() -> PipelineOptions:
    return PipelineOptions([f"--prism_location={require_program('prism')}"])


def test_panic_of_prism_is_a_one_line_error(options: PipelineOptions) -> None:
    with pytest.raises(WorkerError) as raised, streaming_runner(options):
        raise RuntimeError(FAILED)
    assert str(raised.value) == (
        "Prism, the runner of streaming jobs, failed: runtime error: invalid memory address or nil pointer "
        "dereference; what was not stored was not acknowledged, run again"
    )


def test_other_errors_are_raised_unchanged(options: PipelineOptions) -> None:
    failed = RuntimeError("Pipeline job-001 failed in state FAILED: a bug")
    with pytest.raises(RuntimeError) as raised, streaming_runner(options):
        raise failed
    assert raised.value is failed


def test_failed_bundle_prints_no_traceback_of_beam(
    options: PipelineOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    with streaming_runner(options):
        sdk_worker.print("a traceback")
    assert capsys.readouterr() == ("", "")
    assert "print" not in vars(sdk_worker)
