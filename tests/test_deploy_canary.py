"""scripts/deploy: the canary that goes through a streaming job, and what is waited for, for how long."""

from __future__ import annotations

import json
import re
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sluice.clock import system_clock
from sluice.contracts import load_contracts
from sluice.validation.explainer import compile_explainer

from tests.clouds import ROOT, Clouds

TOPIC = "projects/shop-prod-1/topics/events"
SUBSCRIPTION = "projects/shop-prod-1/subscriptions/events-sub"
SOURCE = f"source=pubsub://{SUBSCRIPTION}"
WAREHOUSE = "warehouse=bigquery://shop-prod-1/backend_events"
RUNNING = "JOB_TYPE_STREAMING,JOB_STATE_RUNNING"


def listing(answer: str) -> str:
    """Return what gcloud does when it is asked what a bucket has."""
    return f'*"storage ls "*) {answer} ;;'


NOTHING = 'echo "ERROR: (gcloud.storage.ls) One or more URLs matched no objects." >&2; exit 1'


@pytest.fixture
def clouds(tmp_path: Path) -> Clouds:
    clouds = Clouds(tmp_path)
    clouds.jobs(RUNNING, more=f'*"subscriptions describe"*) echo {TOPIC} ;;\n{listing("echo $3")}')
    clouds.program("bq", "echo f0_; echo 10")
    return clouds


def published(clouds: Clouds) -> list[dict[str, Any]]:
    """Return the events that were published to the topic."""
    calls = [call for call in clouds.called() if call[1:4] == ["pubsub", "topics", "publish"]]
    assert {call[4] for call in calls} <= {TOPIC}
    return [
        json.loads(word.removeprefix("--message=")) for call in calls for word in call if "message" in word
    ]


class TestCanary:
    def test_started_job_gets_ten_events_and_they_are_found(self, clouds: Clouds) -> None:
        before = system_clock()
        done = clouds.deploy("run", "sluice-live", SOURCE, WAREHOUSE)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == (
            "deploy: sluice-live: started as job-7\n"
            "deploy: sluice-live: JOB_STATE_RUNNING\n"
            f"deploy: canary: sent 10 events to {TOPIC}\n"
            "deploy: canary: 10 events in shop-prod-1.backend_events.canary_events\n"
        )
        events = published(clouds)
        assert [event["number"] for event in events] == list(range(1, 11))
        ((canary_id, version, sent),) = {(e["canary_id"], e["version"], e["sent_at"]) for e in events}
        assert UUID(canary_id).version == 4
        assert version == "1.2.3"
        assert int(before) <= datetime.fromisoformat(sent).timestamp() <= system_clock()
        names = [" ".join(call[1:4]) for call in clouds.called()]
        assert names[:4] == [
            "dataflow flex-template run",
            "dataflow jobs describe",
            "storage ls gs://shop-prod-1-sluice-temp/templates/1.2.3.canary.odcs.yaml",
            "pubsub subscriptions describe",
        ]
        assert clouds.called()[3][4:] == [SUBSCRIPTION, "--format=value(topic)"]
        assert f"--attribute=canary={canary_id}" in clouds.called()[4]
        assert clouds.called()[-1] == [
            "bq",
            "--project_id=shop-prod-1",
            "--format=csv",
            "--quiet",
            "query",
            "--use_legacy_sql=false",
            "SELECT COUNT(DISTINCT number) FROM `shop-prod-1.backend_events.canary_events` "
            f"WHERE sent_at = '{sent}' AND canary_id = '{canary_id}'",
        ]

    def test_events_are_those_of_the_contract_of_the_image(self, clouds: Clouds, tmp_path: Path) -> None:
        assert clouds.deploy("run", "sluice-live", SOURCE, WAREHOUSE).returncode == 0
        folder = tmp_path / "backend_events"
        shutil.copytree(ROOT / "schemas/backend_events", folder)
        shutil.copy(ROOT / "deploy/canary.odcs.yaml", folder)
        explain = compile_explainer(load_contracts(str(folder)), "event_type").explain
        for event in published(clouds):
            explanation = explain(json.dumps(event).encode())
            assert explanation.violations == ()
            assert explanation.contract is not None
            assert explanation.contract.label == "deployment-canary@1.0.0"
        dockerfile = (ROOT / "Dockerfile").read_text("utf-8")
        assert "\nCOPY deploy/canary.odcs.yaml schemas/backend_events/\n" in dockerfile

    def test_canary_waits_until_all_events_are_there(self, clouds: Clouds) -> None:
        looks = clouds.calls.parent / "queries"
        answers = (
            f'echo look >>{looks}; [ "$(wc -l <{looks})" = 3 ] && echo 10 || {{ echo "not found"; exit 2; }}'
        )
        clouds.program("bq", answers)
        done = clouds.deploy(
            "update", "sluice-live", SOURCE, f"{WAREHOUSE}?method=storage_write", POLL_SECONDS="0"
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert looks.read_text().count("look") == 3
        assert len(published(clouds)) == 10

    def test_canary_that_does_not_arrive_fails_with_the_next_step(self, clouds: Clouds) -> None:
        clouds.program("bq", "echo f0_; echo 9")
        done = clouds.deploy("run", "sluice-live", SOURCE, WAREHOUSE, WAIT_SECONDS="0")
        assert (done.returncode, done.stderr) == (
            1,
            "deploy: canary: expected 10 events in shop-prod-1.backend_events.canary_events within 0 seconds "
            "(WAIT_SECONDS), got 9; the job goes on, see shop-prod-1.backend_events.dead_letters and its log; "
            f"to try again: scripts/deploy canary shop-prod-1.backend_events pubsub://{SUBSCRIPTION}\n",
        )

    @pytest.mark.parametrize("dataset", ["backend_events", "shop-prod-1.backend_events"])
    def test_canary_is_sent_to_a_running_job_by_itself(self, clouds: Clouds, dataset: str) -> None:
        done = clouds.deploy("canary", dataset, f"pubsub://{TOPIC}?subscription=mine")
        assert (done.returncode, done.stderr) == (0, "")
        assert [call[:4] for call in clouds.called()[:-1]] == [["gcloud", "pubsub", "topics", "publish"]] * 10
        assert "`shop-prod-1.backend_events.canary_events`" in clouds.called()[-1][-1]

    @pytest.mark.parametrize(
        ("words", "environment", "said"),
        [
            ((SOURCE, WAREHOUSE), {"CANARY": "none"}, ""),
            (
                (SOURCE, "warehouse=postgresql://u@h/d"),
                {},
                "deploy: sluice-live: no canary, which goes from pubsub:// to bigquery://\n",
            ),
            (
                ("source=kafka://b:9092/t?group=g", WAREHOUSE),
                {},
                "deploy: sluice-live: no canary, which goes from pubsub:// to bigquery://\n",
            ),
        ],
    )
    def test_job_without_canary(
        self, clouds: Clouds, words: tuple[str, ...], environment: dict[str, str], said: str
    ) -> None:
        done = clouds.deploy("run", "sluice-live", *words, **environment)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith(f"JOB_STATE_RUNNING\n{said}")
        assert published(clouds) == []

    @pytest.mark.parametrize(
        ("job", "answer", "place"),
        [
            ((), NOTHING, "gs://shop-prod-1-sluice-temp/templates/1.2.3.canary.odcs.yaml"),
            (
                ("job=jobs/live.yaml",),
                NOTHING,
                "gs://shop-prod-1-sluice-temp/templates/1.2.3.canary.odcs.yaml",
            ),
            (("job=gs://raw/release/job.yaml",), "echo gs://raw/release/job.yaml", "gs://raw/release/**"),
        ],
    )
    def test_job_whose_contracts_lack_the_type_gets_none(
        self, clouds: Clouds, job: tuple[str, ...], answer: str, place: str
    ) -> None:
        """As after a roll back to a version from before the canary, or with contracts of a bucket."""
        clouds.jobs(RUNNING, more=listing(answer))
        done = clouds.deploy("update", "sluice-live", *job, SOURCE, WAREHOUSE)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith(
            "deploy: sluice-live: no canary, since the contracts of the job do not have it: no canary.odcs.yaml in "
            f"{place}\n"
        )
        assert published(clouds) == []

    def test_contracts_of_a_bucket_can_have_the_type(self, clouds: Clouds) -> None:
        answer = "echo gs://raw/release/job.yaml; echo gs://raw/release/contracts/canary.odcs.yaml"
        clouds.jobs(RUNNING, more=f'*"subscriptions describe"*) echo {TOPIC} ;;\n{listing(answer)}')
        done = clouds.deploy("run", "sluice-live", "job=gs://raw/release/job.yaml", SOURCE, WAREHOUSE)
        assert (done.returncode, done.stderr) == (0, "")
        assert len(published(clouds)) == 10

    def test_canary_is_sent_if_nobody_can_tell_whether_contracts_have_it(self, clouds: Clouds) -> None:
        answer = 'echo "ERROR: (gcloud.storage.ls) HTTPError 403" >&2; exit 1'
        clouds.jobs(RUNNING, more=f'*"subscriptions describe"*) echo {TOPIC} ;;\n{listing(answer)}')
        done = clouds.deploy("run", "sluice-live", SOURCE, WAREHOUSE)
        assert (done.returncode, done.stderr) == (0, "ERROR: (gcloud.storage.ls) HTTPError 403\n")
        assert len(published(clouds)) == 10

    def test_replay_gets_no_canary(self, clouds: Clouds) -> None:
        clouds.jobs("JOB_TYPE_BATCH,JOB_STATE_DONE")
        assert clouds.deploy("run", "sluice-replay", SOURCE, WAREHOUSE).returncode == 0
        assert published(clouds) == []


class TestWait:
    LOOK = (
        "deploy: j: the job goes on; to look at it: "
        "gcloud dataflow jobs describe job-7 --project=shop-prod-1 --region=europe-west1\n"
    )

    def test_wait_ends(self, clouds: Clouds) -> None:
        clouds.jobs("JOB_TYPE_STREAMING,JOB_STATE_QUEUED")
        done = clouds.deploy("run", "j", SOURCE, WAREHOUSE, WAIT_SECONDS="0")
        assert (done.returncode, done.stderr) == (
            1,
            f"deploy: j: expected JOB_STATE_RUNNING within 0 seconds (WAIT_SECONDS), got JOB_STATE_QUEUED\n{self.LOOK}",
        )
        assert published(clouds) == []

    def test_drain_that_hangs_ends_and_nothing_is_started(self, clouds: Clouds) -> None:
        clouds.jobs("JOB_TYPE_STREAMING,JOB_STATE_DRAINING")
        done = clouds.deploy("replace", "j", SOURCE, WAREHOUSE, WAIT_SECONDS="0")
        assert done.returncode == 1
        assert (
            "expected JOB_STATE_DRAINED within 0 seconds (WAIT_SECONDS), got JOB_STATE_DRAINING"
            in done.stderr
        )
        assert "run" not in [call[3] for call in clouds.called()]

    def test_some_errors_are_no_news_of_the_job(self, clouds: Clouds) -> None:
        """Nine errors, a state, nine errors, the state that is waited for."""
        failing = ["fail"] * 9
        clouds.jobs(*failing, "JOB_TYPE_STREAMING,JOB_STATE_PENDING", *failing, RUNNING)
        done = clouds.deploy("run", "j", "source=gs://b/s", POLL_SECONDS="0")
        assert done.returncode == 0
        assert done.stderr == "gcloud: no connection\n" * 18

    def test_errors_without_end_end_the_wait(self, clouds: Clouds) -> None:
        clouds.jobs("JOB_TYPE_STREAMING,JOB_STATE_PENDING", "fail")
        done = clouds.deploy("run", "j", SOURCE, WAREHOUSE, POLL_SECONDS="0")
        assert (done.returncode, done.stderr) == (
            1,
            "gcloud: no connection\n" * 10
            + "deploy: j: expected JOB_STATE_RUNNING, got 10 errors one after the other, and JOB_STATE_PENDING before\n"
            + self.LOOK,
        )


def test_header_names_what_the_environment_sets() -> None:
    script = (ROOT / "scripts/deploy").read_text("utf-8")
    header = script.partition("\nset -")[0]
    given = set(re.findall(r"\$\{([A-Z_]+):-", script)) - {"POLL_SECONDS", "DEPLOY_ENV", "CMEK"}
    assert given == {"VERSION", "TERRAFORM", "CANARY", "WAIT_SECONDS", "MAX_WORKERS", "MACHINE_TYPE"}
    assert {name for name in given if name in header} >= {"VERSION", "TERRAFORM", "CANARY", "WAIT_SECONDS"}
