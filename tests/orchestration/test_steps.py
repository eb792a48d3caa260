"""One step of a use case: its process, its environment, its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from devservers.waiting import wait_until
from orchestration.audit.run import main
from orchestration.steps import (
    AUDIT,
    COLLABORATION,
    MONITORS,
    Step,
    StepError,
    audit,
    collaboration,
    monitor,
    monitor_settings,
)


def python(code: str, *arguments: object) -> Step:
    return Step("ingest", [sys.executable, "-c", code, *map(str, arguments)])


def test_step_that_fails_is_an_error_with_its_exit_code() -> None:
    with pytest.raises(StepError) as caught:
        python("raise SystemExit(3)").run()
    assert str(caught.value) == "step ingest ended with exit code 3; its output says why"


def test_step_that_ends_with_another_code_of_its_own_is_done() -> None:
    step = python("raise SystemExit(1)")
    step.done = (0, 1)
    step.run()
    step.command = [*step.command[:2], "raise SystemExit(2)"]
    with pytest.raises(StepError, match="exit code 2"):
        step.run()


def test_step_gets_credentials_in_its_environment_and_nothing_of_the_scheduler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", "postgresql://a:secret@b/c")
    monkeypatch.setenv("PREFECT_API_KEY", "secret")
    monkeypatch.setenv("SLUICE_OTHER", "1")
    code = "import json, os, sys; json.dump(dict(os.environ), open(sys.argv[1], 'w'))"
    python(code, tmp_path / "environment").run({"PGPASSWORD": "pass word"})
    text = (tmp_path / "environment").read_text()
    assert '"PGPASSWORD": "pass word"' in text
    assert '"SLUICE_OTHER": "1"' in text
    assert "secret" not in text


def test_terminated_step_ends_with_the_processes_that_it_started(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "input")
    child = "import os, sys; open(sys.argv[1], 'w').write(str(os.getpid())); open(sys.argv[2]).read()"
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[1:]])"
    step = python(code, child, tmp_path / "child", tmp_path / "input")
    errors: list[str] = []

    def run() -> None:
        try:
            step.run()
        except StepError as error:
            errors.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    with (tmp_path / "input").open("w"):  # so that the child waits for its end
        step.terminate()
        thread.join(60)
        assert errors == [f"step ingest ended with exit code {-signal.SIGTERM}; its output says why"]
        child_id = int((tmp_path / "child").read_text())
        wait_until(lambda: not is_running(child_id), "the child has ended")


def is_running(process: int) -> bool:
    """Tell whether a process runs; one that ended may wait for its parent to ask."""
    command = ["ps", "-o", "stat=", "-p", str(process)]
    state = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return bool(state) and not state.startswith("Z")


def test_interrupted_step_ends(tmp_path: Path) -> None:
    """As when a scheduler raises an exception in the process that waits for the step."""
    code = "import os, signal, sys; open(sys.argv[1], 'w').write(str(os.getpid())); "
    code += "os.kill(os.getppid(), signal.SIGALRM); signal.pause()"

    def interrupt(number: int, _frame: object) -> None:
        raise TimeoutError(number)

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(TimeoutError):
            python(code, tmp_path / "step").run()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert not is_running(int((tmp_path / "step").read_text()))


@pytest.mark.parametrize("name", COLLABORATION)
def test_step_of_collaboration_is_its_script_with_only(name: str) -> None:
    step = collaboration(name, "in", "postgresql://me@host:5432/docs?schema=a", "out")
    assert step.command[1:] == [
        "-m",
        "examples.collaboration.pipeline",
        f"--only={name}",
        "--source=in",
        "--warehouse=postgresql://me@host:5432/docs?schema=a",
        "--out=out",
    ]


@pytest.mark.parametrize("name", AUDIT)
def test_step_of_the_audit_is_its_script_with_only(name: str) -> None:
    module = ["-m", "orchestration.audit.run"]
    assert audit(name, "data", "out").command[1:] == [*module, f"--only={name}", "--data=data", "--out=out"]


def test_audit_without_the_step_before_says_which(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--only=compare", f"--data={tmp_path}", f"--out={tmp_path}"])
    assert end.value.code == 2
    missing = tmp_path / "state/step_ingest.json"
    expected = "expected what the step ingest leaves, got nothing; run that step first"
    assert capsys.readouterr().err == f"audit: {missing}: {expected}\n"


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://me:secret@host/docs",
        "postgresql://me:@host/docs",
        "postgresql://me@host/docs?password=secret",
        "postgresql://me@host/docs?schema=a&password=secret",
        "postgresql://me@host/docs?passw%6Frd=secret",
    ],
)
def test_address_with_password_is_no_parameter(address: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the text is compared
        collaboration("ingest", "in", address, "out")
    assert str(caught.value) == (
        "warehouse: expected an address without password, got one with it; "
        "give it as PGPASSWORD, or in a connection of the scheduler"
    )


@pytest.mark.parametrize("name", MONITORS)
def test_monitor_of_each_use_case_writes_a_page_and_asks_the_warehouse_until_yesterday(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"SLUICE_MONITOR_{name.upper()}_WAREHOUSE", f"duckdb:///{tmp_path}/w.duckdb")
    monkeypatch.setenv(f"SLUICE_MONITOR_{name.upper()}_OUT", str(tmp_path / "out"))
    settings = monitor_settings(name)
    assert settings == {"warehouse": f"duckdb:///{tmp_path}/w.duckdb", "out": str(tmp_path / "out")}
    with pytest.raises(StepError) as caught:  # there is no table yet
        monitor(name, **settings).run()
    assert str(caught.value) == f"step {name} ended with exit code 2; its output says why"
    assert "could not be asked" in (tmp_path / "out/monitor.html").read_text("utf-8")


def test_password_in_the_address_of_a_monitor_is_an_error() -> None:
    with pytest.raises(ValueError, match="expected an address without password"):
        monitor("audit", "postgresql://me:secret@host/docs", "out")
