"""Terraform, job files, contracts and docs name the same things. Terraform itself says what it would make.

What follows from variables and generated files alone lies in `variables.tf` and `locals.tf`, which need no
provider: they are copied, and `terraform console` is asked for their values. The rest is checked by
`scripts/terraform`.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from sluice.contracts import load_contracts
from sluice.contracts.reserved import COUNTS_VIEW
from sluice.elements import DEAD_LETTER
from sluice.runtime import prometheus
from sluice.warehouses.bigquery import tables as bigquery_tables

from deploy.launch import keys
from devservers.tools import require_program

ROOT = Path(__file__).parents[1]
TERRAFORM = ROOT / "terraform"
EXAMPLES = sorted((TERRAFORM / "examples").glob("*.tfvars"))
PROJECT = "shop-prod-1"

NOT_IN_BIGQUERY = {"audit", "clickstream", "collaboration"}
"""Domains whose jobs load another warehouse; their BigQuery DDL is generated, and no dataset is made for them."""


def named(path: Path) -> str:
    return str(path.relative_to(TERRAFORM))


@pytest.fixture(scope="session")
def console(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return what evaluates an expression over variables and locals.tf, with options of Terraform."""
    terraform = require_program("terraform")
    folder = tmp_path_factory.mktemp("evaluate") / "terraform"
    folder.mkdir()
    for name in ("variables.tf", "locals.tf"):
        shutil.copy(TERRAFORM / name, folder)
    shutil.copytree(TERRAFORM / "schemas", folder / "schemas")
    for name in ("ddl", "jobs", "monitors", "schemas"):
        (folder.parent / name).symlink_to(ROOT / name)

    @cache
    def value(expression: str, *options: str) -> Any:
        done = subprocess.run(
            [terraform, "console", "-no-color", f"-var=project_id={PROJECT}", *options],
            cwd=folder,
            input=f"jsonencode({expression})\n",
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0 and "Invalid value for variable" not in done.stderr, done.stderr
        return json.loads(json.loads(done.stdout))

    return value


@pytest.fixture(scope="session")
def evaluate(console: Any) -> Any:
    """Return what evaluates an expression over the variables' defaults and locals.tf."""
    return console


def generated() -> dict[str, Any]:
    """Return table -> its table JSON, of all that is generated for BigQuery."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in (ROOT / "ddl/bigquery").glob("*.json")}


def fields(table: dict[str, Any]) -> list[str]:
    return [field["name"] for field in table["schema"]["fields"]]


def text_of(pattern: str) -> str:
    return "\n".join(path.read_text("utf-8") for path in sorted(TERRAFORM.glob(pattern)))


class TestTables:
    def test_dataset_has_the_tables_of_its_domains(self, evaluate: Any) -> None:
        own = {"_segments", "_event_counts", "dead_letters", "redeliveries", "source_files"}
        for settings in evaluate("var.datasets").values():
            assert set(settings["domains"]) <= {path.name for path in (ROOT / "schemas").iterdir()}
        for name, tables in evaluate("local.tables").items():
            settings = evaluate("var.datasets")[name]
            contracts = [
                contract
                for domain in settings["domains"]
                for contract in load_contracts(str(ROOT / "schemas" / domain)).values()
            ]
            expected = {contract.table for contract in contracts} | own | set(settings["tables"])
            assert set(tables) == expected, name

    def test_columns_match_the_contracts(self, evaluate: Any) -> None:
        tables = evaluate("local.tables")
        for name, settings in evaluate("var.datasets").items():
            for domain in settings["domains"]:
                for contract in load_contracts(str(ROOT / "schemas" / domain)).values():
                    assert tables[name][contract.table] == bigquery_tables.table_json(contract)

    def test_domains_have_a_dataset(self, evaluate: Any) -> None:
        domains = {path.name for path in (ROOT / "schemas").iterdir() if any(path.glob("*.odcs.yaml"))}
        loaded = {domain for settings in evaluate("var.datasets").values() for domain in settings["domains"]}
        assert domains - NOT_IN_BIGQUERY == loaded

    def test_generated_tables_are_created(self, evaluate: Any) -> None:
        made = {table for tables in evaluate("local.tables").values() for table in tables}
        left = set(generated()) - made
        assert {generated()[name]["labels"]["domain"] for name in left} <= NOT_IN_BIGQUERY

    def test_required_tables_exist(self, evaluate: Any) -> None:
        assert {"raw_sales_data", "customer_logs", "product_catalog", "reporting_metrics"} < set(
            evaluate("local.tables")["ecommerce_data"]
        )

    def test_hidden_columns_match_contract_classification(self, evaluate: Any) -> None:
        """What a contract calls restricted or confidential is not in a shared view."""
        for settings in evaluate("var.datasets").values():
            contracts = {
                contract.table: contract
                for domain in settings["domains"]
                for contract in load_contracts(str(ROOT / "schemas" / domain)).values()
            }
            for table, hidden in settings["shared"].items():
                properties = {prop.name: prop for prop in contracts[table].properties}
                assert set(hidden) <= set(properties), table
                assert {name for name, prop in properties.items() if prop.classification} <= set(hidden), (
                    table
                )

    def test_counts_view_matches_the_generated_view(self, evaluate: Any) -> None:
        (view,) = evaluate("local.views")["backend_events"].items()
        name, content = view
        assert name == COUNTS_VIEW
        assert content["query"] == (
            "SELECT\n  event_type,\n  window_start,\n  window_end,\n  SUM(events) AS events\n"
            f"FROM `{PROJECT}.backend_events._event_counts`\nGROUP BY event_type, window_start, window_end"
        )

    @pytest.mark.parametrize("path", sorted((TERRAFORM / "schemas").glob("*.json")), ids=named)
    def test_handwritten_table_is_complete(self, path: Path) -> None:
        table = json.loads(path.read_text("utf-8"))
        columns = fields(table)
        assert len(set(columns)) == len(columns)
        assert table["timePartitioning"]["field"] in columns
        assert set(table["clustering"]["fields"]) <= set(columns)
        assert all(
            field["description"] and field["mode"] in ("REQUIRED", "NULLABLE")
            for field in table["schema"]["fields"]
        )
        assert path.stem not in generated()


class TestSchemas:
    AVRO = sorted((ROOT / "schemas").glob("*/avro/*.avsc"))

    def test_schema_of_a_topic_is_the_generated_avro(self, console: Any) -> None:
        topics = {
            f"topic-{number}": {"schema": {"contract": f"{path.parts[-3]}/{path.stem}"}}
            for number, path in enumerate(self.AVRO)
        }
        made = console("local.schemas", f"-var=topics={json.dumps(topics)}")
        expected = [json.loads(path.read_text("utf-8")) for path in self.AVRO]
        assert {name: json.loads(schema) for name, schema in made.items()} == {
            f"{schema['namespace']}.{schema['name']}": schema for schema in expected
        }

    def test_no_topic_has_a_schema_by_default(self, evaluate: Any) -> None:
        assert evaluate("local.schemas") == {}

    def test_schema_where_a_job_reads_is_an_error(self, console: Any) -> None:
        topics = '-var=topics={t01={schema={contract="backend_events/order"},subscriptions={s01={}}}}'
        with pytest.raises(AssertionError, match="no schema where the pipeline subscribes"):
            console("local.schemas", topics)


class TestNames:
    def test_required_topic_and_subscription_exist(self, evaluate: Any) -> None:
        topics = evaluate("var.topics")
        assert list(topics) == ["backend-events-topic"]
        assert list(topics["backend-events-topic"]["subscriptions"]) == ["backend-events-topic-sub"]

    def test_referenced_subscriptions_exist(self, evaluate: Any) -> None:
        made = {name for topic in evaluate("var.topics").values() for name in topic["subscriptions"]}
        for path in sources():
            for name in re.findall(r"/subscriptions/([\w-]+)", path.read_text("utf-8")):
                assert name in made, f"{path.relative_to(ROOT)}: subscription {name}"

    def test_referenced_topics_exist(self, evaluate: Any) -> None:
        made = set(evaluate("var.topics"))
        for path in sources():
            for name in re.findall(r"/topics/([\w-]+)", path.read_text("utf-8")):
                assert name in made, f"{path.relative_to(ROOT)}: topic {name}"

    def test_referenced_buckets_exist(self, evaluate: Any) -> None:
        made = {name.removeprefix(f"{PROJECT}-") for name in evaluate("local.bucket_names").values()}
        for path in sources():
            for name in re.findall(
                r"gs://\$\{?(?:var\.project_id|PROJECT)\}?-([a-z-]+)", path.read_text("utf-8")
            ):
                assert name in made | {"terraform-state"}, f"{path.relative_to(ROOT)}: bucket {name}"

    def test_referenced_datasets_exist(self, evaluate: Any) -> None:
        made = set(evaluate("var.datasets"))
        for path in sources():
            for name in re.findall(
                r"bigquery://\$\{?(?:var\.project_id|PROJECT)\}?/(\w+)", path.read_text("utf-8")
            ):
                assert name in made, f"{path.relative_to(ROOT)}: dataset {name}"

    def test_referenced_job_files_exist(self) -> None:
        for path in sources():
            for name in re.findall(r"jobs/\w+\.yaml", path.read_text("utf-8")):
                assert (ROOT / name).is_file(), f"{path.relative_to(ROOT)}: {name}"

    @pytest.mark.parametrize("example", EXAMPLES, ids=named)
    def test_example_refers_to_what_it_makes(self, example: Path, console: Any) -> None:
        """Its parameters are those of the template; the validation of variables says what it refers to."""
        for jobs in ("local.jobs", "local.replays"):
            for job in console(jobs, f"-var-file={example}").values():
                assert set(job["parameters"]) <= {"job", *keys()}
                assert {"source", "warehouse", "files", "dead_letters"} <= set(job["parameters"])

    @pytest.mark.parametrize(
        ("job", "said"),
        [
            ({"args": ["load", "jobs/backend.yaml"]}, "got jobs/backend.yaml."),
            ({"args": ["load", "jobs/backend.yaml"]}, "that the images of this checkout have, such as jobs/"),
            ({"args": ["monitor", "monitors/shop.yml", "--as-of=yesterday"]}, "got monitors/shop.yml."),
            ({"args": ["load"], "secrets": {"TOKEN": "slack-tokn"}}, "got slack-tokn."),
            (
                {"args": ["load"], "secrets": {"TOKEN": "projects/p/slack-token"}},
                "got projects/p/slack-token.",
            ),
        ],
    )
    def test_cloud_run_job_that_names_nothing_is_an_error(
        self, console: Any, job: dict[str, Any], said: str
    ) -> None:
        jobs = json.dumps({"sluice-job": {"version": "v1", **job}})
        with pytest.raises(AssertionError) as raised:
            console("var.cloud_run_jobs", f"-var=cloud_run_jobs={jobs}", '-var=secrets=["slack-token"]')
        assert said in " ".join(str(raised.value).replace("│", " ").split())

    def test_accounts_read_the_secrets_of_their_jobs(self, console: Any) -> None:
        token = {"SLACK_TOKEN": "slack-token", "KEY": "projects/keys/secrets/key"}
        job = {"version": "v1", "args": ["monitor", "monitors/backend_events.yaml"], "secrets": token}
        load = {"version": "v1", "args": ["load", "gs://b/release/job.yaml", "--contracts=my.yaml"]}
        dbt = {"version": "v1", "target": "dbt", "args": ["build", "x.yml"], "account": "dbt"}
        jobs = {
            "one": job,
            "two": job,
            "three": {**dbt, "secrets": {"P": "sluice-privacy-key"}},
            "four": load,
        }
        options = (f"-var=cloud_run_jobs={json.dumps(jobs)}", '-var=secrets=["slack-token", "unused"]')
        assert console("local.secret_readers", *options) == {
            "sluice-privacy-key": ["pipeline", "dbt"],
            "slack-token": ["pipeline"],
            "unused": [],
        }

    def test_guide_lists_every_resource(self, evaluate: Any) -> None:
        guide = (ROOT / "docs/how-to/deploy.md").read_text("utf-8")
        listed = dict(re.findall(r"^\| ([^|]+?) \| (.*?) \|$", guide, re.MULTILINE))

        def names(row: str) -> list[str]:
            return re.findall(r"`([^`]+)`", listed[row])

        (topic,) = evaluate("var.topics")
        assert names("topic, subscription") == [topic, *evaluate("var.topics")[topic]["subscriptions"]]
        datasets = evaluate("var.datasets")
        shared = [f"{name}_shared" for name, settings in datasets.items() if settings["shared"]]
        assert set(names("datasets")) == {*datasets, *shared}
        prefix = evaluate("var.name")
        assert {f"{PROJECT}-{prefix}-{key}" for key in names("buckets, after `$PROJECT-sluice-`")} == set(
            evaluate("local.bucket_names").values()
        )
        accounts = re.findall(r"^    (\w+) = \{\n      description", text_of("main.tf"), re.MULTILINE)
        assert names("service accounts") == [f"{prefix}-{account}" for account in accounts]
        assert names("secret") == [evaluate("local.privacy_secret")]

    def test_deploy_script_reads_terraform_outputs(self) -> None:
        said = set(re.findall(r'"([A-Z_]+)=\$', (TERRAFORM / "outputs.tf").read_text("utf-8")))
        script = (ROOT / "scripts/deploy").read_text("utf-8")
        used = set(re.findall(r"\$\{?([A-Z][A-Z_]+)\b", script)) - {"VERSION", "TERRAFORM", "DEPLOY_ENV"}
        optional = {"MAX_WORKERS", "MACHINE_TYPE", "POLL_SECONDS", "WAIT_SECONDS", "SECONDS", "CANARY"}
        assert used - optional <= said
        assert said - used == {"RAW"}  # for people: where histories are copied to

    def test_alerts_use_metrics_that_jobs_export(self) -> None:
        text = (TERRAFORM / "modules/monitoring/main.tf").read_text("utf-8")
        (figures,) = re.findall(r"for figure in \[(.*?)\]", text)
        counted = prometheus._HELP
        assert {name.strip(' "') for name in figures.split(",")} < set(counted)
        assert f"${{figure}}.{DEAD_LETTER}" in text


def sources() -> list[Path]:
    """Return the files that name things of the cloud: examples, jobs, docs."""
    docs = [ROOT / "docs/how-to/deploy.md", ROOT / "docs/data-model.md", TERRAFORM / "README.md"]
    return [
        *EXAMPLES,
        *(ROOT / "jobs").glob("*.yaml"),
        *(path for path in docs if path.exists()),
    ]


def test_job_files_are_yaml_that_terraform_can_override() -> None:
    """Every place in a job file is a parameter of the template."""
    for path in (ROOT / "jobs").glob("*.yaml"):
        job = yaml.safe_load(path.read_text("utf-8"))
        assert {name for name in job if name != "windows"} <= set(keys())
