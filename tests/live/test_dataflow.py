"""What a Dataflow job is made of: the wheel runs alone, and the job that is submitted is the one that was meant.

An HTTP server on this machine stands in for the Dataflow API, and the GCS emulator for the bucket that jobs are staged
in. Neither runs a job: what is proven is everything up to the request, as Beam's DataflowRunner sends it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from apache_beam.portability.api import beam_runner_api_pb2

from deploy.launch import arguments
from devservers import pubsub
from tests.live.dataflow_fixture import (
    ACCOUNT,
    BUCKET,
    HISTORY,
    IMAGE,
    ROOT,
    SECRET,
    Launched,
    dataflow_options,
    launch,
    launched,
    parameters,
    serving_api,
    staging,
    step_names,
)
from tests.own_files import ADDED, OWN_FILES, OwnFile, table

STEPS = [
    "Read",
    "Count what was read",
    "Decode",
    "Append events",
    "Load events",
    "Reject conflicts",
    "Wrap rejected",
    "Wrap conflicting",
    "Wrap load_rejected",
    "Append dead letters",
    "Load dead letters",
    "Acknowledge",
    "Measure 1",
    "Measure 2",
    "Measure 3",
    "Measure 4",
    "Measure 5",
    "Measure 6",
    "Gather step counts",
    "Reconcile ledger",
]
PUBSUB_READ = "beam:transform:pubsub_read:v1"
JOB_TYPE_BATCH, JOB_TYPE_STREAMING, WORKER_IP_PRIVATE = 1, 2, 2  # as the API numbers them


def test_parameters_become_flags() -> None:
    given = [
        "--job=jobs/other.yaml",
        "--dead_letters=gs://b/d",
        "--windows_max_skew=5m",
        "--name=",
        "--region=r",
    ]
    flags = ["--dead-letters=gs://b/d", "--windows.max-skew=5m"]
    assert arguments(given) == ["run", "jobs/other.yaml", *flags, "--region=r"]
    assert arguments([]) == ["run", "jobs/backend_events.yaml"]
    assert arguments(["--job="]) == ["run", "jobs/backend_events.yaml"]


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Launched:
    return launched(tmp_path_factory.mktemp("replay"), f"gs://{BUCKET}/history/*", {})


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Launched:
    with pubsub.start() as server:
        topic = server.create("backend-events-topic-sub")
        return launched(tmp_path_factory.mktemp("live"), topic.source, topic.environment)


@pytest.fixture(params=["replay", "live"])
def any_job(request: pytest.FixtureRequest) -> Launched:
    job: Launched = request.getfixturevalue(request.param)
    return job


def test_graph_has_the_expected_steps(any_job: Launched) -> None:
    assert step_names(any_job.graph) == STEPS


def test_worker_pool_has_the_configured_network_and_image(any_job: Launched) -> None:
    assert any_job.job["name"] == "sluice-backend-events"
    assert any_job.job["labels"] == {"app": "sluice"}
    assert any_job.environment["serviceAccountEmail"] == ACCOUNT
    assert any_job.pool["autoscalingSettings"]["maxNumWorkers"] == 5
    assert any_job.pool["ipConfiguration"] == WORKER_IP_PRIVATE
    assert any_job.pool["subnetwork"] == "regions/europe-west1/subnetworks/sluice"


def test_workers_run_the_image_that_launched_the_job(any_job: Launched) -> None:
    assert any_job.pool["workerHarnessContainerImage"] == IMAGE
    (environment,) = any_job.graph.components.environments.values()
    assert beam_runner_api_pb2.DockerPayload.FromString(environment.payload).container_image == IMAGE


def test_workers_install_nothing(any_job: Launched) -> None:
    """The image has it all; the one file that is staged tells what the launcher had installed."""
    packages = ["submission_environment_dependencies.txt"]
    assert [package["name"] for package in any_job.pool["packages"]] == packages
    assert sorted(name.rpartition("/")[2] for name in any_job.staged if name.startswith("staging/")) == [
        "pipeline.pb",
        *packages,
    ]


def test_no_secret_leaves_the_launcher(any_job: Launched) -> None:
    sent = [json.dumps(any_job.job), any_job.done.stdout, any_job.done.stderr]
    assert [text for text in sent if SECRET in text] == []
    assert [name for name, data in any_job.staged.items() if SECRET.encode() in data] == []
    assert SECRET not in str(any_job.graph)


def test_bounded_source_makes_a_batch_job(replay: Launched) -> None:
    assert replay.job["type"] == JOB_TYPE_BATCH
    assert "enable_streaming_engine" not in replay.environment["experiments"]


def test_streaming_job_prints_its_id_and_the_place_of_its_totals(live: Launched) -> None:
    said = rf"backend_events: submitted to DataflowRunner as job-1; its figures: sluice report gs://{BUCKET}/temp/\S+\n"
    assert re.fullmatch(said, live.done.stdout)


def test_streaming_job_uses_streaming_engine(live: Launched) -> None:
    assert live.job["type"] == JOB_TYPE_STREAMING
    assert {"enable_streaming_engine", "enable_windmill_service"} < set(live.environment["experiments"])


def test_streaming_job_reads_pubsub_natively(live: Launched) -> None:
    """Dataflow replaces this transform by a source of its own, which acknowledges what its state holds."""
    (read,) = (
        transform
        for transform in live.graph.components.transforms.values()
        if transform.spec.urn == PUBSUB_READ
    )
    payload = beam_runner_api_pb2.PubSubReadPayload.FromString(read.spec.payload)
    assert payload.subscription == "projects/sluice/subscriptions/backend-events-topic-sub"
    assert payload.with_attributes
    assert read.unique_name == "Read/Read messages/Read natively/Read"


def test_batch_job_reads_no_pubsub(replay: Launched) -> None:
    urns = {transform.spec.urn for transform in replay.graph.components.transforms.values()}
    assert PUBSUB_READ not in urns


def test_launcher_opens_the_event_log(any_job: Launched) -> None:
    made = sorted(name for name in any_job.staged if not name.startswith(("staging/", "temp/")))
    logs = ("_sources", "inventory", "order", "user_activity")
    assert made == ["dead_letters/_log.json", *(f"output/{name}/_log.json" for name in logs)]


def test_flex_template_is_launched_with_a_job_file(tmp_path: Path) -> None:
    """The launcher of Flex Templates wants the request as a file, and sends it itself."""
    place = "staging/template_launches/1/job_object"
    with serving_api() as api, staging() as bucket:
        source = f"--source=gs://{BUCKET}/history/archive.json"
        template = f"--template_location=gs://{BUCKET}/{place}"
        given = [source, *parameters(tmp_path / "w.duckdb"), *dataflow_options(api), template]
        done = launch(bucket, given, {})
        assert done.returncode == 0, done.stderr
        assert api.jobs == []
        job = json.loads(bucket.get(place))
        said = re.fullmatch(
            r"backend_events: submitted to DataflowRunner; its figures: sluice report (gs://\S+)\n",
            done.stdout,
        )
        assert said is not None, done.stdout
        figures = subprocess.run(
            [sys.executable, "-m", "sluice", "report", said[1]],
            env={**os.environ, **bucket.environment, "COLUMNS": "200"},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=240,
        )
    assert figures.stdout.splitlines()[0].strip() == "backend_events: 0 records in 0.0 s"
    assert job["name"] == "sluice-backend-events"
    assert job["environment"]["serviceAccountEmail"] == ACCOUNT


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment outside the checkout: what the lock file holds, and the wheel; returns its bin folder."""
    home = tmp_path_factory.mktemp("wheel")
    source = home / "source"
    source.mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "pipeline"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    wheel = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(home)]
    subprocess.run([sys.executable, *wheel, str(source)], check=True, timeout=240)
    shutil.rmtree(source)
    venv.create(home / "venv", with_pip=False)
    installed = Path(next((home / "venv/lib").glob("python*/site-packages")))
    (package,) = home.glob("sluice_beam-*.whl")
    into = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(installed),
        str(package),
    ]
    subprocess.run([sys.executable, *into], check=True, timeout=240)
    # This interpreter's packages are those of the lock file; a path alone does not bring its editable Sluice along.
    (installed / "locked.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return home / "venv/bin"


@pytest.mark.parametrize("own", OWN_FILES, ids=lambda own: own.name)
def test_wheel_makes_a_table_of_a_file_of_ones_own(elsewhere: Path, tmp_path: Path, own: OwnFile) -> None:
    (tmp_path / own.file).write_bytes(own.content)
    for line in (
        ["init", own.name, "--from", own.file, "--yes"],
        ["run", f"jobs/{own.name}.yaml", "--quiet"],
    ):
        done = subprocess.run(
            [str(elsewhere / "python"), "-m", "sluice", *line],
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
            timeout=240,
        )
        assert done.stderr == ""
    assert table(tmp_path, own.name) == (own.columns | ADDED, own.rows)


def test_wheel_replays_history_outside_the_checkout(elsewhere: Path, tmp_path: Path) -> None:
    contracts = tmp_path / "contracts"
    shutil.copytree(ROOT / "schemas/backend_events", contracts)
    job = tmp_path / "job.yaml"
    job.write_text(
        f"name: elsewhere\ncontracts: {contracts}\nroute_by: event_type\nsource: {HISTORY}/*\n"
        f"files: {tmp_path}/files\nwarehouse: duckdb:///{tmp_path}/w.duckdb\ndead_letters: {tmp_path}/dead_letters\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    python = elsewhere / "python"

    def run(*words: str) -> str:
        return subprocess.run(
            [str(python), *words],
            env={**environment, "PATH": f"{elsewhere}{os.pathsep}{environment['PATH']}"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
            timeout=240,
        ).stdout

    where = run("-c", "import sluice; print(sluice.__file__)").strip()
    assert Path(where).is_relative_to(elsewhere.parent)
    processes = ["--runner=DirectRunner", "--direct_running_mode=multi_processing", "--direct_num_workers=2"]
    totals = f"--temp_location={tmp_path}/temp"
    run("-m", "sluice", "run", str(job), "--report", "report.json", totals, *processes)
    report = json.loads((tmp_path / "report.json").read_text())
    expected = json.loads((ROOT / "examples/backend_events/expected.json").read_text())
    assert report["reconciled"] is True
    assert {key: report[key] for key in ("read", "accepted", "duplicates", "rejected")} == {
        key: expected[key] for key in ("read", "accepted", "duplicates", "rejected")
    }
