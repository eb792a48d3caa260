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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest
from apache_beam.portability.api import beam_runner_api_pb2

from deploy.launch import arguments
from devservers import gcs, http_api, pubsub
from devservers.http_api import HttpRequest, HttpResponse

ROOT = Path(__file__).parents[2]
HISTORY = ROOT / "examples/backend_events/history"
BUCKET = "shop-prod-1-sluice"
ACCOUNT = "sluice-pipeline@shop-prod-1.iam.gserviceaccount.com"
IMAGE = "europe-west1-docker.pkg.dev/shop-prod-1/sluice/sluice:1.2.3"
STEPS = [
    "Read",
    "Count what was read",
    "Decode",
    "Append events",
    "Load events",
    "Wrap rejected",
    "Wrap refused",
    "Append letters",
    "Load letters",
    "Acknowledge",
    "Gather tallies",
    "Measure",
    "Balance ledger",
]
PUBSUB_READ = "beam:transform:pubsub_read:v1"
JOB_TYPE_BATCH, JOB_TYPE_STREAMING, WORKER_IP_PRIVATE = 1, 2, 2  # as the API numbers them
SECRET = "do-not-show-3f1c9a"  # noqa: S105  stands for whatever secret lies in the launcher's environment


@dataclass
class DataflowApi:
    """A stand-in for the Dataflow API, and the jobs that were created in it."""

    url: str = ""
    jobs: list[dict[str, Any]] = field(default_factory=list)

    def respond(self, request: HttpRequest) -> HttpResponse:
        """Create a job that is done at once, and describe it."""
        if request.method == "POST" and request.path.endswith("/jobs"):
            self.jobs.append(json.loads(request.body))
        job = {"id": "job-1", "name": "job", "currentState": "JOB_STATE_DONE", "type": "JOB_TYPE_BATCH"}
        return HttpResponse(200, json.dumps(job).encode(), {"Content-Type": "application/json"})


@contextmanager
def serving_api() -> Iterator[DataflowApi]:
    """Serve the stand-in on a free port."""
    api = DataflowApi()
    # Beam speaks REST to an endpoint with localhost in its name, and gRPC to all others.
    with http_api.start(api.respond, host="localhost") as server:
        api.url = server.url
        yield api


@dataclass
class Bucket:
    """The staging bucket in the GCS emulator."""

    environment: Mapping[str, str]

    def put(self, name: str, data: bytes) -> None:
        """Store an object."""
        url = self._url(f"/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name={quote(name, safe='')}")
        with urlopen(
            Request(url, data, {"Content-Type": "application/octet-stream"}), timeout=30
        ) as response:
            response.read()

    def names(self) -> list[str]:
        """Return the names of all objects."""
        with urlopen(self._url(f"/storage/v1/b/{BUCKET}/o"), timeout=30) as response:
            return sorted(item["name"] for item in json.load(response).get("items", []))

    def get(self, name: str) -> bytes:
        """Return an object."""
        with urlopen(
            self._url(f"/storage/v1/b/{BUCKET}/o/{quote(name, safe='')}?alt=media"), timeout=30
        ) as response:
            data: bytes = response.read()
            return data

    def _url(self, path: str) -> str:
        return self.environment["STORAGE_EMULATOR_HOST"] + path


def parameters(warehouse: Path) -> list[str]:
    """Return what the launcher of a Flex Template passes for the template's own parameters, without the source."""
    return [
        f"--files=gs://{BUCKET}/output",
        f"--dead_letters=gs://{BUCKET}/dead_letters",
        f"--warehouse=duckdb:///{warehouse}",
        "--windows_counts=30s",
        "--route_by=",
    ]


def dataflow_options(api: DataflowApi) -> list[str]:
    """Return what the launcher passes for Dataflow itself; the endpoint leads to the stand-in."""
    return [
        "--runner=DataflowRunner",
        f"--dataflow_endpoint={api.url}",
        "--no_auth",
        "--project=shop-prod-1",
        "--region=europe-west1",
        "--job_name=sluice-backend-events",
        f"--temp_location=gs://{BUCKET}/temp",
        f"--staging_location=gs://{BUCKET}/staging",
        f"--service_account_email={ACCOUNT}",
        f"--sdk_container_image={IMAGE}",
        "--no_use_public_ips",
        "--subnetwork=regions/europe-west1/subnetworks/sluice",
        "--max_num_workers=5",
        "--labels=app=sluice",
    ]


def launch(bucket: Bucket, given: Sequence[str], more: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run what the image runs, with a secret in the environment that must not get out."""
    environment = {**os.environ, **bucket.environment, **more, "SLUICE_PRIVACY_KEY": SECRET, "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, str(ROOT / "deploy/launch.py"), *given],
        env={**environment, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def staged_graph(bucket: Bucket) -> beam_runner_api_pb2.Pipeline:
    """Return the graph as it was staged for the workers."""
    (name,) = [
        each for each in bucket.names() if each.startswith("staging/") and each.endswith("pipeline.pb")
    ]
    return beam_runner_api_pb2.Pipeline.FromString(bucket.get(name))


def step_names(graph: beam_runner_api_pb2.Pipeline) -> list[str]:
    """Return the names of the outermost steps."""
    roots = [graph.components.transforms[root] for root in graph.root_transform_ids]
    found = [each for root in roots for each in (root.subtransforms or [])]
    return [graph.components.transforms[each].unique_name for each in found]


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


@dataclass
class Launched:
    """A job that was launched once, for all tests of this module that look at it."""

    done: subprocess.CompletedProcess[str]
    job: dict[str, Any]
    graph: beam_runner_api_pb2.Pipeline
    staged: dict[str, bytes]

    @property
    def environment(self) -> dict[str, Any]:
        """Return what the request says of the workers."""
        found: dict[str, Any] = self.job["environment"]
        return found

    @property
    def pool(self) -> dict[str, Any]:
        """Return the one pool of workers."""
        (found,) = self.environment["workerPools"]
        assert isinstance(found, dict)
        return found


@contextmanager
def staging() -> Iterator[Bucket]:
    """Run the GCS emulator, with the sample history in its bucket."""
    with gcs.start(BUCKET) as server:
        bucket = Bucket(server.environment)
        for file in HISTORY.iterdir():
            bucket.put(f"history/{file.name}", file.read_bytes())
        yield bucket


def launched(folder: Path, source: str, environment: Mapping[str, str]) -> Launched:
    """Launch a Dataflow job; fail if that does not end well."""
    with serving_api() as api, staging() as bucket:
        given = [f"--source={source}", *parameters(folder / "w.duckdb"), *dataflow_options(api)]
        done = launch(bucket, given, environment)
        assert done.returncode == 0, done.stderr
        (job,) = api.jobs
        names = [name for name in bucket.names() if not name.startswith("history/")]
        return Launched(done, job, staged_graph(bucket), {name: bucket.get(name) for name in names})


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
    found: Launched = request.getfixturevalue(request.param)
    return found


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
    assert [each["name"] for each in any_job.pool["packages"]] == packages
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
    (read,) = (each for each in live.graph.components.transforms.values() if each.spec.urn == PUBSUB_READ)
    payload = beam_runner_api_pb2.PubSubReadPayload.FromString(read.spec.payload)
    assert payload.subscription == "projects/sluice/subscriptions/backend-events-topic-sub"
    assert payload.with_attributes
    assert read.unique_name == "Read/Read messages/Read natively/Read"


def test_batch_job_reads_no_pubsub(replay: Launched) -> None:
    urns = {each.spec.urn for each in replay.graph.components.transforms.values()}
    assert PUBSUB_READ not in urns


def test_launcher_opens_the_event_log(any_job: Launched) -> None:
    made = sorted(name for name in any_job.staged if not name.startswith(("staging/", "temp/")))
    types = ("inventory", "order", "user_activity")
    assert made == ["dead_letters/_log.json", *(f"output/{name}/_log.json" for name in types)]


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


def test_wheel_replays_history_outside_the_checkout(elsewhere: Path, tmp_path: Path) -> None:
    contracts = tmp_path / "contracts"
    shutil.copytree(ROOT / "schemas/backend_events", contracts)
    job = tmp_path / "job.yaml"
    job.write_text(
        f"name: elsewhere\ncontracts: {contracts}\nroute_by: event_type\nsource: {HISTORY}/*\n"
        f"files: {tmp_path}/files\nwarehouse: duckdb:///{tmp_path}/w.duckdb\ndead_letters: {tmp_path}/letters\n"
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
