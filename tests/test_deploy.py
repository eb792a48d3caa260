"""The Flex Template, its image, scripts/deploy and the workflows: what can be known of them without an account."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from sluice.config.job import option_keys

from deploy.launch import keys
from deploy.metadata import FILE, PLACES, metadata
from devservers.tools import require_path, require_program

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yaml"))

SETTINGS = """\
PROJECT=shop-prod-1
REGION=europe-west1
REPOSITORY=europe-west1-docker.pkg.dev/shop-prod-1/sluice
SUBNETWORK=regions/europe-west1/subnetworks/sluice
SERVICE_ACCOUNT=sluice-pipeline@shop-prod-1.iam.gserviceaccount.com
TEMP=gs://shop-prod-1-sluice-temp
LOG=gs://shop-prod-1-sluice-log
DEAD_LETTERS=gs://shop-prod-1-sluice-dead-letters
QUARANTINE=gs://shop-prod-1-sluice-quarantine
RAW=gs://shop-prod-1-sluice-raw
PRIVACY_SECRET=sluice-privacy-key
"""


class TestMetadata:
    def test_metadata_is_up_to_date(self) -> None:
        assert json.loads(FILE.read_text("utf-8")) == metadata(), "run: .venv/bin/python deploy/metadata.py"

    def test_metadata_has_every_job_key_with_its_help(self) -> None:
        parameters = {
            parameter["name"]: parameter for parameter in json.loads(FILE.read_text("utf-8"))["parameters"]
        }
        options = {name.replace(".", "_"): key for name, key in option_keys().items()}
        assert list(parameters) == ["job", *options] == ["job", *keys()]
        for name, option in options.items():
            assert parameters[name]["helpText"].startswith(option.metadata["help"])
            assert option.metadata.get("example", "") in parameters[name]["helpText"]

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
            assert tag != "latest"
            assert re.search(r"\d+\.\d+|\d{8}", tag)

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


class Clouds:
    """A folder with programs that write down how they were called, and a checkout's scripts beside it."""

    def __init__(self, folder: Path) -> None:
        self.calls = folder / "calls"
        self.root = folder / "checkout"
        self.bin = folder / "bin"
        for name in ("scripts", "deploy", "terraform", "out"):
            (self.root / name).mkdir(parents=True)
        self.bin.mkdir()
        (self.root / "scripts/deploy").write_bytes((ROOT / "scripts/deploy").read_bytes())
        (self.root / "out/deploy.env").write_text(SETTINGS)
        for name in ("gcloud", "docker", "terraform"):
            self.program(name, "")

    def program(self, name: str, more: str) -> None:
        """Make a program that writes down its arguments, a line each, and then does `more`."""
        path = self.bin / name
        path.write_text(f'#!/usr/bin/env bash\nprintf "%s\\n" {name} "$@" "" >>"{self.calls}"\n{more}\n')
        path.chmod(0o755)

    def deploy(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run scripts/deploy."""
        return subprocess.run(
            ["bash", str(self.root / "scripts/deploy"), *words],
            env={"PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}", "VERSION": "1.2.3", **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def called(self) -> list[list[str]]:
        """Return the calls, each with its arguments."""
        return [call.split("\n") for call in self.calls.read_text().removesuffix("\n\n").split("\n\n")]


@pytest.fixture
def clouds(tmp_path: Path) -> Clouds:
    return Clouds(tmp_path)


class TestScript:
    def test_run_passes_parameters_and_limits_to_the_template(self, clouds: Clouds) -> None:
        source = "source=pubsub://projects/shop-prod-1/subscriptions/backend-events-topic-sub"
        done = clouds.deploy("run", "sluice-live", source, "warehouse=bigquery://shop-prod-1/backend_events")
        assert (done.returncode, done.stderr) == (0, "")
        assert clouds.called() == [
            [
                "gcloud",
                "dataflow",
                "flex-template",
                "run",
                "sluice-live",
                "--project=shop-prod-1",
                "--region=europe-west1",
                "--template-file-gcs-location=gs://shop-prod-1-sluice-temp/templates/1.2.3.json",
                "--parameters=^||^sdk_container_image=europe-west1-docker.pkg.dev/shop-prod-1/sluice/sluice:1.2.3"
                "||files=gs://shop-prod-1-sluice-log/output"
                "||dead_letters=gs://shop-prod-1-sluice-dead-letters/dead_letters"
                "||quarantine=gs://shop-prod-1-sluice-quarantine/quarantine"
                "||privacy_key=projects/shop-prod-1/secrets/sluice-privacy-key"
                f"||{source}||warehouse=bigquery://shop-prod-1/backend_events",
                "--service-account-email=sluice-pipeline@shop-prod-1.iam.gserviceaccount.com",
                "--subnetwork=regions/europe-west1/subnetworks/sluice",
                "--disable-public-ips",
                "--temp-location=gs://shop-prod-1-sluice-temp/temp",
                "--staging-location=gs://shop-prod-1-sluice-temp/staging",
                "--max-workers=10",
                "--worker-machine-type=n2-standard-2",
                "--additional-user-labels=app=sluice",
            ]
        ]

    def test_given_storage_parameters_take_precedence(self, clouds: Clouds) -> None:
        places = (
            "files=gs://b/f",
            "dead_letters=gs://b/d",
            "quarantine=gs://b/u",
            "privacy_key=projects/p/secrets/s",
        )
        clouds.deploy("run", "j", *places, MAX_WORKERS="3")
        (call,) = clouds.called()
        assert "--max-workers=3" in call
        (parameters,) = [argument for argument in call if argument.startswith("--parameters=")]
        assert parameters.endswith(":1.2.3||" + "||".join(places))

    def test_update_starts_the_new_version_in_place(self, clouds: Clouds) -> None:
        assert clouds.deploy("update", "sluice-live", "source=gs://b/s").returncode == 0
        (call,) = clouds.called()
        assert call[:5] == ["gcloud", "dataflow", "flex-template", "run", "sluice-live"]
        assert call[-1] == "--update"

    def test_replace_drains_first(self, clouds: Clouds, tmp_path: Path) -> None:
        looks = tmp_path / "looks"
        clouds.program(
            "gcloud",
            f"""case "$*" in
  *" list "*) echo 2026-11-21_job-7 ;;
  *" describe "*)
    echo look >>{looks}
    [ "$(wc -l <{looks})" -lt 3 ] && echo JOB_STATE_DRAINING || echo JOB_STATE_DRAINED ;;
esac""",
        )
        done = clouds.deploy("replace", "sluice-live", "source=gs://b/s", DRAIN_POLL_SECONDS="0")
        assert (done.returncode, done.stderr) == (0, "")
        assert [call[3] for call in clouds.called()] == [
            "list",
            "drain",
            "describe",
            "describe",
            "describe",
            "run",
        ]
        assert clouds.called()[1][4] == "2026-11-21_job-7"

    def test_job_that_fails_to_drain_is_not_restarted(self, clouds: Clouds) -> None:
        clouds.program(
            "gcloud", 'case "$*" in *" list "*) echo job-7 ;; *" describe "*) echo JOB_STATE_FAILED ;; esac'
        )
        done = clouds.deploy("replace", "sluice-live", "source=gs://b/s")
        assert done.returncode == 1
        assert done.stderr == "deploy: sluice-live: expected it to drain, got JOB_STATE_FAILED\n"
        assert [call[3] for call in clouds.called()] == ["list", "drain", "describe"]

    def test_missing_job_is_not_replaced(self, clouds: Clouds) -> None:
        done = clouds.deploy("replace", "sluice-live", "source=gs://b/s")
        assert done.returncode == 1
        assert done.stderr == "deploy: sluice-live: expected a running job, found none\n"

    def test_image_and_template_have_the_same_version(self, clouds: Clouds) -> None:
        assert clouds.deploy("image").returncode == 0
        assert clouds.deploy("template").returncode == 0
        image = "europe-west1-docker.pkg.dev/shop-prod-1/sluice/sluice:1.2.3"
        assert clouds.called() == [
            ["gcloud", "auth", "configure-docker", "europe-west1-docker.pkg.dev", "--quiet"],
            ["docker", "build", "--platform=linux/amd64", f"--tag={image}", "."],
            ["docker", "push", image],
            [
                "gcloud",
                "dataflow",
                "flex-template",
                "build",
                "gs://shop-prod-1-sluice-temp/templates/1.2.3.json",
                "--project=shop-prod-1",
                f"--image={image}",
                "--sdk-language=PYTHON",
                "--metadata-file=deploy/metadata.json",
            ],
        ]

    def test_apply_saves_the_outputs_of_terraform(self, clouds: Clouds) -> None:
        clouds.program("terraform", 'case "$*" in *" output "*) echo PROJECT=other-project ;; esac')
        done = clouds.deploy("apply", "-auto-approve", PROJECT="other-project", REGION="us-east4")
        assert (done.returncode, done.stderr) == (0, "")
        assert clouds.called() == [
            [
                "terraform",
                "-chdir=terraform",
                "init",
                "-input=false",
                "-backend-config=bucket=other-project-terraform-state",
                "-backend-config=prefix=sluice/terraform",
            ],
            ["terraform", "-chdir=terraform", "apply", "-auto-approve"],
            ["terraform", "-chdir=terraform", "output", "-raw", "deploy"],
        ]
        assert (clouds.root / "out/deploy.env").read_text() == "PROJECT=other-project\n"

    def test_privacy_key_is_never_an_argument_or_output(self, clouds: Clouds, tmp_path: Path) -> None:
        clouds.program("gcloud", f"cat >{tmp_path}/key")
        done = clouds.deploy("secret")
        key = (tmp_path / "key").read_text()
        assert re.fullmatch(r"[A-Za-z0-9+/]{43}=", key)
        assert key not in done.stdout + done.stderr + (tmp_path / "calls").read_text()
        assert clouds.called() == [
            [
                "gcloud",
                "secrets",
                "versions",
                "add",
                "sluice-privacy-key",
                "--project=shop-prod-1",
                "--data-file=-",
            ]
        ]

    def test_command_before_apply_is_an_error(self, clouds: Clouds) -> None:
        (clouds.root / "out/deploy.env").unlink()
        done = clouds.deploy("image")
        assert (done.returncode, done.stderr) == (
            1,
            "deploy: expected out/deploy.env, found none; run scripts/deploy apply\n",
        )

    @pytest.mark.parametrize("words", [(), ("deploy",), ("run",)])
    def test_wrong_arguments_print_usage(self, clouds: Clouds, words: tuple[str, ...]) -> None:
        done = clouds.deploy(*words)
        assert done.returncode == 2
        assert done.stdout.startswith("Brings Sluice to Google Cloud")
        assert "scripts/deploy replace NAME KEY=VALUE…" in done.stdout


class TestWorkflows:
    def test_actionlint_reports_nothing(self) -> None:
        command = [require_program("actionlint"), "-no-color", *map(str, WORKFLOWS)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode, done.stdout) == (0, "")

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

    def test_third_party_actions_are_pinned(self) -> None:
        for where, step in self.steps():
            if "uses" in step:
                assert re.fullmatch(
                    r"(actions|docker|google-github-actions|hashicorp)/[\w-]+@v\d+", step["uses"]
                ), where

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
