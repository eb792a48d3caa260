"""scripts/deploy: what it asks of the programs that it calls, and what it says."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from uuid import UUID

import pytest

from tests.clouds import ROOT, SETTINGS, Clouds


@pytest.fixture
def clouds(tmp_path: Path) -> Clouds:
    return Clouds(tmp_path)


class TestScript:
    def test_run_passes_parameters_and_limits_to_the_template(self, clouds: Clouds) -> None:
        source = "source=pubsub://projects/shop-prod-1/subscriptions/backend-events-topic-sub"
        warehouse = "warehouse=bigquery://shop-prod-1/backend_events"
        done = clouds.deploy("run", "sluice-live", source, warehouse, CANARY="none")
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
                "--format=value(job.id)",
            ],
            [
                "gcloud",
                "dataflow",
                "jobs",
                "describe",
                "job-7",
                "--project=shop-prod-1",
                "--region=europe-west1",
                "--format=csv[no-heading](type,currentState)",
            ],
        ]
        assert (
            done.stdout == "deploy: sluice-live: started as job-7\ndeploy: sluice-live: JOB_STATE_RUNNING\n"
        )

    def test_given_storage_parameters_take_precedence(self, clouds: Clouds) -> None:
        places = (
            "files=gs://b/f",
            "dead_letters=gs://b/d",
            "quarantine=gs://b/u",
            "privacy_key=projects/p/secrets/s",
        )
        clouds.deploy("run", "j", *places, MAX_WORKERS="3")
        call = clouds.called()[0]
        assert "--max-workers=3" in call
        (parameters,) = [argument for argument in call if argument.startswith("--parameters=")]
        assert parameters.endswith(":1.2.3||" + "||".join(places))

    def test_key_of_the_stores_is_that_of_jobs(self, clouds: Clouds) -> None:
        key = "projects/keys/locations/europe-west1/keyRings/data/cryptoKeys/sluice"
        for given, options in ((key, [f"--dataflow-kms-key={key}"]), ("none", [])):
            clouds.calls.unlink(missing_ok=True)
            assert clouds.deploy("run", "j", "source=gs://b/s", CMEK=given).returncode == 0
            assert [word for word in clouds.called()[0] if "kms" in word] == options

    def test_update_starts_the_new_version_in_place(self, clouds: Clouds) -> None:
        assert clouds.deploy("update", "sluice-live", "source=gs://b/s").returncode == 0
        call = clouds.called()[0]
        assert call[:5] == ["gcloud", "dataflow", "flex-template", "run", "sluice-live"]
        assert "--update" in call

    def test_options_of_dataflow_are_passed_on(self, clouds: Clouds) -> None:
        options = ["--additional-experiments=a,b", "--transform-name-mappings=x=y", "--num-workers=2"]
        assert clouds.deploy("update", "sluice-live", *options, "source=gs://b/s").returncode == 0
        call = clouds.called()[0]
        assert [word for word in call if word in options] == options
        (parameters,) = [argument for argument in call if argument.startswith("--parameters=")]
        assert parameters.endswith("||source=gs://b/s")

    def test_argument_that_is_neither_is_an_error(self, clouds: Clouds) -> None:
        done = clouds.deploy("run", "sluice-live", "pubsub://x")
        assert (done.returncode, done.stderr) == (
            2,
            "deploy: sluice-live: expected KEY=VALUE or an option that begins with --, got pubsub://x\n",
        )
        assert not clouds.calls.exists()

    def test_job_that_fails_says_why(self, clouds: Clouds) -> None:
        clouds.jobs("JOB_TYPE_STREAMING,JOB_STATE_PENDING", "JOB_TYPE_STREAMING,JOB_STATE_FAILED")
        done = clouds.deploy("update", "sluice-live", "source=gs://b/s", POLL_SECONDS="0")
        assert done.returncode == 1
        assert done.stderr == (
            "deploy: sluice-live: expected JOB_STATE_RUNNING, got JOB_STATE_FAILED\nthe worker could not start\n"
        )

    def test_replay_is_waited_for_until_it_is_done(self, clouds: Clouds) -> None:
        clouds.jobs("JOB_TYPE_BATCH,JOB_STATE_RUNNING", "JOB_TYPE_BATCH,JOB_STATE_DONE")
        done = clouds.deploy("run", "sluice-replay", "source=gs://b/s", POLL_SECONDS="0")
        assert (done.returncode, done.stderr) == (0, "")
        assert [call[3] for call in clouds.called()] == ["run", "describe", "describe"]

    def canary(self, clouds: Clouds, rows: int) -> subprocess.CompletedProcess[str]:
        (clouds.root / "schemas/backend_events").mkdir(parents=True)
        (clouds.root / "schemas/backend_events/examples").symlink_to(ROOT / "schemas/backend_events/examples")
        events = clouds.calls.parent / "events"
        clouds.jobs("JOB_TYPE_BATCH,JOB_STATE_DONE", more=f'*"storage cp"*) cat >"{events}" ;;')
        clouds.program("bq", f"echo f0_; echo {rows}")
        return clouds.deploy("canary", "backend_events_canary")

    def test_canary_is_ten_new_orders_in_the_table(self, clouds: Clouds) -> None:
        done = self.canary(clouds, 10)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith("deploy: canary: 10 rows in backend_events_canary.order_events\n")
        lines = (clouds.calls.parent / "events").read_bytes().splitlines()
        orders = [json.loads(line)["order_id"] for line in lines]
        assert len({UUID(order) for order in orders}) == 10
        example = (ROOT / "schemas/backend_events/examples/order.accepts.ndjson").read_text("utf-8")
        assert {**json.loads(lines[9]), "order_id": ""} == {
            **json.loads(example.splitlines()[0]),
            "order_id": "",
        }
        copy, run, _, query = clouds.called()
        mark = orders[0][:-1]
        assert copy[:4] == ["gcloud", "storage", "cp", "-"]
        assert copy[4] == f"gs://shop-prod-1-sluice-temp/canary/{mark}/events.ndjson"
        (parameters,) = [word for word in run if word.startswith("--parameters=")]
        assert f"||files=gs://shop-prod-1-sluice-temp/canary/{mark}/output" in parameters
        assert f"STARTS_WITH(order_id, '{mark}')" in query[-1]
        assert "`shop-prod-1.backend_events_canary.order_events`" in query[-1]

    def test_canary_that_is_not_found_fails(self, clouds: Clouds) -> None:
        done = self.canary(clouds, 9)
        assert done.returncode == 1
        assert (
            "deploy: canary: expected 10 rows in backend_events_canary.order_events, got 9; see gs://"
            in done.stderr
        )

    def test_canary_that_cannot_be_looked_for_says_why(self, clouds: Clouds) -> None:
        """bq says so on its standard output."""
        (clouds.root / "schemas/backend_events").mkdir(parents=True)
        (clouds.root / "schemas/backend_events/examples").symlink_to(ROOT / "schemas/backend_events/examples")
        clouds.jobs("JOB_TYPE_BATCH,JOB_STATE_DONE", more='*"storage cp"*) cat >/dev/null ;;')
        clouds.program("bq", 'echo "Access Denied: Table shop-prod-1:d.order_events"; exit 1')
        done = clouds.deploy("canary", "d")
        assert done.returncode == 1
        assert done.stderr.startswith(
            "deploy: canary: expected 10 rows in d.order_events, got Access Denied: Table shop-prod-1:d.order_events; "
        )

    @pytest.mark.parametrize("given", ["1h", "-1", "1.5", "08", " 5"])
    def test_wait_that_is_no_number_is_an_error_before_anything_is_done(
        self, clouds: Clouds, given: str
    ) -> None:
        done = clouds.deploy("drain", "sluice-live", WAIT_SECONDS=given)
        assert (done.returncode, done.stderr) == (
            1,
            f"deploy: WAIT_SECONDS: expected a whole number, such as 900, got {given}\n",
        )
        assert not clouds.calls.exists()

    def test_replace_drains_first(self, clouds: Clouds) -> None:
        drained = ["DRAINING", "DRAINING", "DRAINED", "RUNNING"]
        clouds.jobs(*(f"JOB_TYPE_STREAMING,JOB_STATE_{state}" for state in drained))
        done = clouds.deploy("replace", "sluice-live", "source=gs://b/s", POLL_SECONDS="0")
        assert (done.returncode, done.stderr) == (0, "")
        assert [call[3] for call in clouds.called()] == [
            "list",
            "drain",
            "describe",
            "describe",
            "describe",
            "run",
            "describe",
        ]
        assert clouds.called()[1][4] == "job-7"

    def test_job_that_fails_to_drain_is_not_restarted(self, clouds: Clouds) -> None:
        clouds.jobs("JOB_TYPE_STREAMING,JOB_STATE_FAILED")
        done = clouds.deploy("replace", "sluice-live", "source=gs://b/s")
        assert done.returncode == 1
        assert done.stderr == (
            "deploy: sluice-live: expected JOB_STATE_DRAINED, got JOB_STATE_FAILED\nthe worker could not start\n"
        )
        assert [call[3] for call in clouds.called()] == ["list", "drain", "describe", "logs"]

    def test_missing_job_is_not_replaced(self, clouds: Clouds) -> None:
        clouds.program("gcloud", "")
        done = clouds.deploy("replace", "sluice-live", "source=gs://b/s")
        assert done.returncode == 1
        assert done.stderr == "deploy: sluice-live: expected a running job, found none\n"

    def test_image_and_template_have_the_same_version(self, clouds: Clouds) -> None:
        assert clouds.deploy("image").returncode == 0
        assert clouds.deploy("template").returncode == 0
        repository = "europe-west1-docker.pkg.dev/shop-prod-1/sluice"
        pushed = []
        for target, name in (("dataflow", "sluice"), ("cli", "sluice-cli"), ("dbt", "sluice-dbt")):
            image = f"{repository}/{name}:1.2.3"
            pushed += [
                ["gcloud", "artifacts", "docker", "images", "describe", image, "--project=shop-prod-1"],
                ["docker", "build", "--platform=linux/amd64", f"--target={target}", f"--tag={image}", "."],
                ["docker", "push", image],
            ]
        assert clouds.called() == [
            ["gcloud", "auth", "configure-docker", "europe-west1-docker.pkg.dev", "--quiet"],
            *pushed,
            [
                "gcloud",
                "storage",
                "cp",
                "deploy/canary.odcs.yaml",
                "gs://shop-prod-1-sluice-temp/templates/1.2.3.canary.odcs.yaml",
                "--project=shop-prod-1",
            ],
            [
                "gcloud",
                "dataflow",
                "flex-template",
                "build",
                "gs://shop-prod-1-sluice-temp/templates/1.2.3.json",
                "--project=shop-prod-1",
                f"--image={repository}/sluice:1.2.3",
                "--sdk-language=PYTHON",
                "--metadata-file=deploy/metadata.json",
            ],
        ]

    def test_images_that_are_there_are_not_pushed_again(self, clouds: Clouds) -> None:
        clouds.program("gcloud", "")
        done = clouds.deploy("image")
        assert (done.returncode, done.stderr) == (0, "")
        assert {call[0] for call in clouds.called()} == {"gcloud"}
        assert done.stdout.count(" is there already\n") == 3

    def test_version_of_a_changed_checkout_is_refused(self, clouds: Clouds) -> None:
        done = clouds.deploy("image", VERSION="1.2.3-dirty")
        assert (done.returncode, done.stderr) == (
            1,
            "deploy: expected a checkout without changes, since a version never changes; commit them or set VERSION\n",
        )

    def test_apply_without_outputs_keeps_the_file(self, clouds: Clouds) -> None:
        clouds.program("terraform", 'case "$*" in *" output "*) echo "no output deploy" >&2; exit 1 ;; esac')
        done = clouds.deploy("apply", PROJECT="other-project", REGION="us-east4")
        assert (done.returncode, done.stderr) == (1, "no output deploy\n")
        assert (clouds.root / "out/deploy.env").read_text() == SETTINGS

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
