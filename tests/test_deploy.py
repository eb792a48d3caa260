"""The Flex Template, its image, scripts/deploy and the workflows: what can be known of them without an account."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from sluice.config.job import option_keys
from sluice.errors import ConfigError

from deploy.launch import fetch_job, keys, run
from deploy.metadata import CANARY_FILE, FILE, PLACES, canary_table, metadata
from devservers.tools import require_path, require_program

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yaml"))


class TestMetadata:
    @pytest.mark.parametrize(("file", "content"), [(FILE, metadata()), (CANARY_FILE, canary_table())])
    def test_metadata_is_up_to_date(self, file: Path, content: dict[str, Any]) -> None:
        assert json.loads(file.read_text("utf-8")) == content, "run: .venv/bin/python deploy/metadata.py"

    def test_metadata_has_every_job_key_with_its_help(self) -> None:
        parameters = {
            parameter["name"]: parameter for parameter in json.loads(FILE.read_text("utf-8"))["parameters"]
        }
        options = {name.replace(".", "_"): key for name, key in option_keys().items()}
        assert list(parameters) == ["job", *options] == ["job", *keys()]
        for name, option in options.items():
            assert parameters[name]["helpText"].startswith(option.metadata["help"])
            assert option.metadata.get("example", "") in parameters[name]["helpText"]

    def test_metadata_says_what_the_console_shows(self) -> None:
        described = metadata()
        modes = ("streaming", "supportsExactlyOnce", "supportsAtLeastOnce", "defaultStreamingMode")
        assert [described[mode] for mode in modes] == [True, True, True, "EXACTLY_ONCE"]
        groups: dict[str, list[str]] = {}
        for parameter in described["parameters"]:
            groups.setdefault(parameter["groupName"], []).append(parameter["name"])
        assert groups.keys() == {"Job", "Places", "Privacy", "Windows"}
        assert groups["Places"] == ["source", "files", "warehouse", "dead_letters", "load"]
        assert groups["Privacy"] == ["quarantine", "privacy_key", "safe_attributes"]
        numbers = [each["name"] for each in described["parameters"] if each["paramType"] == "NUMBER"]
        assert numbers == ["windows_shards"]

    def test_parameter_names_are_valid_in_templates(self) -> None:
        for parameter in metadata()["parameters"]:
            assert re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_]*", parameter["name"])

    def test_storage_parameters_are_required_and_remote(self) -> None:
        required = {
            parameter["name"] for parameter in metadata()["parameters"] if not parameter.get("isOptional")
        }
        assert required == set(PLACES)
        assert re.match(PLACES["source"], "pubsub://projects/p/subscriptions/s")
        assert re.match(PLACES["files"], "gs://bucket/output")
        assert not re.match(PLACES["files"], "out/files")


class TestJobInABucket:
    @pytest.fixture
    def bucket(self, tmp_path: Path) -> Path:
        bucket = tmp_path / "bucket"
        shutil.copytree(ROOT / "schemas/backend_events", bucket / "release/contracts")
        job = (ROOT / "jobs/backend_events.yaml").read_text("utf-8")
        (bucket / "release/job.yaml").write_text(job.replace("schemas/backend_events", "contracts"))
        (bucket / "release/notes.txt").write_text("not copied")
        return bucket

    def test_job_runs_with_the_contracts_beside_it(self, bucket: Path, tmp_path: Path) -> None:
        example = ROOT / "schemas/backend_events/examples/order.accepts.ndjson"
        places = [f"--files={tmp_path}/files", f"--dead_letters={tmp_path}/dead"]
        places += [f"--warehouse=sqlite:///{tmp_path}/w.db", f"--source={example}"]
        before = Path.cwd()
        assert run([f"--job=file://{bucket}/release/job.yaml", *places]) == 0
        assert Path.cwd() == before
        stored = b"".join(path.read_bytes() for path in (tmp_path / "files/order").rglob("order_*.json"))
        assert sorted(stored.splitlines()) == sorted(example.read_bytes().splitlines())

    def test_yaml_files_alone_are_copied(self, bucket: Path, tmp_path: Path) -> None:
        assert fetch_job(f"file://{bucket}/release/job.yaml", tmp_path / "copy") == "job.yaml"
        copied = {path.name for path in (tmp_path / "copy").rglob("*") if path.is_file()}
        assert copied == {"job.yaml", *(path.name for path in bucket.rglob("*.odcs.yaml"))}

    def test_job_that_is_not_there_is_an_error(
        self, bucket: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run([f"--job=file://{bucket}/release/jobs.yaml"]) == ConfigError.exit_code
        assert capsys.readouterr().err == (
            f"sluice: --job: expected a job file, file://{bucket}/release/jobs.yaml, got job.yaml in "
            f"file://{bucket}/release\n"
        )

    @pytest.mark.parametrize("bucket", ["gs://bucket", "s3://bucket/"])
    def test_job_beside_all_else_of_a_bucket_is_an_error(
        self, bucket: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run([f"--job={bucket}/job.yaml"]) == ConfigError.exit_code
        assert capsys.readouterr().err == (
            "sluice: --job: expected a job file in a folder of its own, such as "
            f"{bucket}/job/job.yaml, got {bucket}/job.yaml\n"
        )


class TestImage:
    def test_beam_version_is_the_locked_one(self) -> None:
        (locked,) = re.findall(
            r"^apache-beam(?:\[.*\])?==(\S+)", (ROOT / "requirements.lock").read_text("utf-8"), re.MULTILINE
        )
        assert f"ARG BEAM={locked}\n" in DOCKERFILE

    def test_every_base_is_pinned(self) -> None:
        stages = set(re.findall(r"^FROM \S+ AS (\w+)$", DOCKERFILE, re.MULTILINE))
        for base in set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) - stages:
            (argument,) = re.findall(r":\$\{(\w+)\}$", base)
            (tag,) = re.findall(rf"^ARG {argument}=(\S+)$", DOCKERFILE, re.MULTILINE)
            if argument == "LAUNCHER":  # Google's registry could not be asked for its digest yet
                assert re.fullmatch(r"\d{8}_RC\d\d(@sha256:[0-9a-f]{64})?", tag)
            else:
                assert re.fullmatch(r"\d+\.\d+\.\d+-[a-z-]+@sha256:[0-9a-f]{64}", tag)

    def test_copied_files_are_in_the_build_context(self) -> None:
        let_in = {
            line[1:]
            for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines()
            if line.startswith("!")
        }
        copied = [
            name
            for line in re.findall(r"^COPY (?!--)(.*)$", DOCKERFILE, re.MULTILINE)
            for name in line.split()[:-1]
        ]
        assert let_in == set(copied)
        assert [name for name in copied if not (ROOT / name).exists()] == []

    def test_launcher_is_at_the_path_that_dataflow_expects(self) -> None:
        (file,) = re.findall(r"FLEX_TEMPLATE_PYTHON_PY_FILE=(\S+)", DOCKERFILE)
        assert (ROOT / Path(file).relative_to("/template")).is_file()

    def test_hadolint_reports_nothing(self) -> None:
        done = subprocess.run(
            [str(require_path("lint/bin/hadolint")), str(ROOT / "Dockerfile")],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert (done.returncode, done.stdout) == (0, "")


class TestWorkflows:
    def test_actionlint_reports_nothing(self) -> None:
        command = [require_program("actionlint"), "-no-color", *map(str, WORKFLOWS)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode, done.stdout) == (0, "")

    def test_zizmor_reports_nothing(self) -> None:
        command = [str(require_path("lint/bin/zizmor")), "--offline", "--no-progress", *map(str, WORKFLOWS)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr

    def steps(self) -> list[tuple[str, dict[str, Any]]]:
        return [
            (f"{path.name} {job}", step)
            for path in WORKFLOWS
            for job, content in yaml.safe_load(path.read_text("utf-8"))["jobs"].items()
            for step in content["steps"]
        ]

    def test_workflow_steps_run_repository_scripts(self) -> None:
        for where, step in self.steps():
            if "run" in step:
                (script,) = re.findall(r"^(scripts/[\w-]+|\.ci/run)(?: |$)", step["run"]) or [""]
                assert os.access(ROOT / script, os.X_OK), f"{where}: {step['run']}"
                assert "\n" not in step["run"].strip(), where

    def test_actions_are_pinned_by_hash_with_their_version(self) -> None:
        for path in WORKFLOWS:
            for used in re.findall(r"uses: (.*)", path.read_text("utf-8")):
                assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", used), (
                    f"{path.name}: {used}"
                )

    def test_checkouts_keep_no_credentials(self) -> None:
        for where, step in self.steps():
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False, where

    def test_commands_hold_no_expressions(self) -> None:
        """What an expression holds would be run as code; as a variable of the environment it is text."""
        for where, step in self.steps():
            assert "${{" not in step.get("run", ""), where

    def test_workflow_permissions_are_minimal(self) -> None:
        for path in WORKFLOWS:
            workflow = yaml.safe_load(path.read_text("utf-8"))
            assert workflow["permissions"] == {"contents": "read"}, path.name

    def test_deployment_needs_approval_and_no_key(self) -> None:
        text = (ROOT / ".github/workflows/deploy.yaml").read_text("utf-8")
        workflow = yaml.safe_load(text)
        assert {job["environment"] for job in workflow["jobs"].values()} == {"production"}
        assert "credentials_json" not in text
        assert re.findall(r"secrets\.", text) == []
