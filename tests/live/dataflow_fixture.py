"""A Dataflow job as Beam's DataflowRunner submits it: to a stand-in for the API, staged in the GCS emulator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import Request, urlopen

from apache_beam.portability.api import beam_runner_api_pb2

from devservers import gcs, http_api
from devservers.http_api import HttpRequest, HttpResponse

ROOT = Path(__file__).parents[2]
HISTORY = ROOT / "examples/backend_events/history"
BUCKET = "shop-prod-1-sluice"
ACCOUNT = "sluice-pipeline@shop-prod-1.iam.gserviceaccount.com"
IMAGE = "europe-west1-docker.pkg.dev/shop-prod-1/sluice/sluice:1.2.3"
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
        path for path in bucket.names() if path.startswith("staging/") and path.endswith("pipeline.pb")
    ]
    return beam_runner_api_pb2.Pipeline.FromString(bucket.get(name))


def step_names(graph: beam_runner_api_pb2.Pipeline) -> list[str]:
    """Return the names of the outermost steps."""
    roots = [graph.components.transforms[root] for root in graph.root_transform_ids]
    step_ids = [step_id for root in roots for step_id in (root.subtransforms or [])]
    return [graph.components.transforms[step_id].unique_name for step_id in step_ids]


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
        environment: dict[str, Any] = self.job["environment"]
        return environment

    @property
    def pool(self) -> dict[str, Any]:
        """Return the one pool of workers."""
        (pool,) = self.environment["workerPools"]
        assert isinstance(pool, dict)
        return pool


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
