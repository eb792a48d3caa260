from __future__ import annotations

from pathlib import Path

import pytest
from sluice.contracts import load_contracts
from sluice.errors import ConfigError
from sluice.tooling.lint import check_examples, check_files

ROOT = Path(__file__).parents[2]

YAML = """\
apiVersion: v3.2.0
kind: DataContract
id: shop-click
version: 1.0.0
domain: shop
schema:
  - name: click
    physicalName: clicks
    description: A click.
    customProperties: [{property: eventTime, value: at}]
    properties:
      - {name: at, logicalType: timestamp, required: true, description: When.}
      - {name: page, logicalType: string, description: Where.}
      - name: tags
        logicalType: array
        description: Words.
        items:
          logicalType: object
          properties:
            - {name: word, logicalType: string, description: One.}
"""

ACCEPTED = '{"at":"2025-02-08T13:09:00Z","page":"/"}\n'
REJECTED = '{"at":"2025-02-08T13:09:00Z","page":1}\n{"page":"/"}\n'

JOB = """\
name: shop
contracts: {contracts}
source: in/*.json
files: out/files
warehouse: duckdb:///out/w.duckdb
dead_letters: out/dead
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "schemas/shop/examples").mkdir(parents=True)
    (tmp_path / "jobs").mkdir()
    (tmp_path / "schemas/shop/click.odcs.yaml").write_text(YAML)
    (tmp_path / "schemas/shop/examples/click.accepts.ndjson").write_text(ACCEPTED)
    (tmp_path / "schemas/shop/examples/click.rejects.ndjson").write_text(REJECTED)
    (tmp_path / "jobs/shop.yaml").write_text(JOB.format(contracts=tmp_path / "schemas/shop"))
    return tmp_path


def problems(root: Path) -> list[str]:
    """Return the problems below `root`, with paths relative to it."""
    return [problem.replace(f"{root}/", "") for problem in check_files([root / "schemas", root / "jobs"])]


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_committed_contracts_and_jobs_have_no_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert check_files(["schemas", "jobs"]) == []


def test_right_contract_and_job_have_no_problems(root: Path) -> None:
    assert problems(root) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            ", description: Where.",
            "",
            "click.page: description: expected a sentence, got nothing; describe the property",
        ),
        (
            "string, description: One.",
            "string",
            "click.tags[].word: description: expected a sentence, got nothing; describe the property",
        ),
        (
            "    description: A click.\n",
            "",
            "click: description: expected a sentence, got nothing; describe the event",
        ),
        (
            "    customProperties: [{property: eventTime, value: at}]\n",
            "",
            "click: eventTime: expected one of at, got nothing; name it, or events are placed by their"
            " arrival",
        ),
        ("domain: shop", "domain: store", "domain: expected shop, as its folder, got 'store'"),
    ],
)
def test_incomplete_contract_is_a_problem(root: Path, old: str, new: str, message: str) -> None:
    change(root / "schemas/shop/click.odcs.yaml", old, new)
    assert problems(root) == [f"schemas/shop/click.odcs.yaml: {message}"]


def test_contract_without_timestamps_needs_no_event_time(root: Path) -> None:
    change(
        root / "schemas/shop/click.odcs.yaml",
        "    customProperties: [{property: eventTime, value: at}]\n",
        "",
    )
    change(root / "schemas/shop/click.odcs.yaml", "logicalType: timestamp", "logicalType: date")
    (root / "schemas/shop/examples/click.accepts.ndjson").write_text('{"at":"2025-02-08"}\n')
    assert problems(root) == []


def test_wrong_examples_are_problems(root: Path) -> None:
    examples = root / "schemas/shop/examples"
    (examples / "click.accepts.ndjson").write_text(ACCEPTED + "\n" + REJECTED)
    (examples / "click.rejects.ndjson").write_text(REJECTED + ACCEPTED + "nonsense\n")
    reported = problems(root)
    assert [problem.partition(": expected to be ")[0] for problem in reported] == [
        "schemas/shop/examples/click.accepts.ndjson: line 3",
        "schemas/shop/examples/click.accepts.ndjson: line 4",
        "schemas/shop/examples/click.rejects.ndjson: line 3",
    ]
    assert reported[0].startswith(
        "schemas/shop/examples/click.accepts.ndjson: line 3: expected to be accepted, got type: page: "
    )
    assert reported[2] == (
        "schemas/shop/examples/click.rejects.ndjson: line 3: expected to be rejected, got accepted;"
        " move or fix it"
    )


def test_missing_examples_are_problems(root: Path) -> None:
    (root / "schemas/shop/examples/click.accepts.ndjson").unlink()
    (root / "schemas/shop/examples/click.rejects.ndjson").write_text("\n")
    assert problems(root) == [
        f"schemas/shop/examples/click.{verdict}.ndjson: expected an example on each line, got none;"
        f" add one that the contract {verdict}"
        for verdict in ("accepts", "rejects")
    ]


def test_all_problems_are_found(root: Path) -> None:
    schemas, jobs = root / "schemas/shop", root / "jobs"
    (schemas / "broken.odcs.yaml").write_text(YAML.replace("v3.2.0", "v1"))
    change(schemas / "click.odcs.yaml", ", description: Where.", "")
    (jobs / "other.yaml").write_text(JOB.format(contracts=root / "nowhere") + "sauce: x\n")
    (jobs / "third.yaml").write_text(
        JOB.format(contracts=schemas / "click.odcs.yaml").replace("duckdb:///out/w.duckdb", "duck://x")
    )
    first, second, third, fourth = problems(root)
    assert (
        first
        == "schemas/shop/broken.odcs.yaml: apiVersion: expected v3.0, v3.1 or v3.2, as in v3.2.0, got 'v1'"
    )
    assert second == (
        "schemas/shop/click.odcs.yaml: click.page: description: expected a sentence, got nothing;"
        " describe the property"
    )
    assert third.startswith("jobs/other.yaml: sauce: unknown key; expected one of name, contracts,")
    assert fourth.startswith("jobs/third.yaml: warehouse: expected a URL with one of bigquery://, duckdb://")


def test_every_wrong_address_of_a_job_is_reported(root: Path) -> None:
    job = JOB.format(contracts=root / "schemas/shop/click.odcs.yaml")
    lines = [
        line for line in job.splitlines() if line.partition(":")[0] not in ("source", "files", "dead_letters")
    ]
    addresses = {
        "source": "kafka://h/t",
        "files": "s4://b/x",
        "dead_letters": "gs://",
        "quarantine": "s3://K:S@b/x",
    }
    (root / "jobs/other.yaml").write_text(
        "\n".join([*lines, *(f"{key}: {url}" for key, url in addresses.items())])
    )
    reported = [problem for problem in problems(root) if problem.startswith("jobs/other.yaml")]
    assert [problem.split(": ")[1] for problem in reported] == list(addresses)


def test_event_type_in_two_files_is_a_problem(root: Path) -> None:
    (root / "schemas/shop/second.odcs.yaml").write_text(YAML)
    (problem,) = problems(root)
    assert problem == (
        "schemas/shop/second.odcs.yaml: schema[0].name: 'click' is already used by"
        " schemas/shop/click.odcs.yaml: schema[0]; rename one"
    )


def test_unset_variables_are_no_problem(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BUCKET", raising=False)
    change(root / "jobs/shop.yaml", "in/*.json", "s3://${BUCKET}/x")
    assert problems(root) == []


def test_missing_or_empty_path_is_an_error(root: Path) -> None:
    assert check_files([root / "jobs/shop.yaml", str(root / "schemas/shop/click.odcs.yaml")]) == []
    with pytest.raises(ConfigError) as raised:
        check_files([root / "nothing"])
    assert str(raised.value) == (
        f"{root}/nothing: expected a contract, a job file or a folder of them, got nothing there"
    )
    with pytest.raises(ConfigError) as raised:
        check_files([root / "schemas/shop/examples"])
    assert str(raised.value) == (
        f"expected contracts (*.odcs.yaml) or jobs (*.yaml) in {root}/schemas/shop/examples, got none"
    )


@pytest.mark.parametrize("event_type", ["inventory", "order", "user_activity"])
def test_committed_examples_have_no_problems(event_type: str) -> None:
    folder = ROOT / "schemas/backend_events"
    assert check_examples(load_contracts(str(folder))[event_type], folder / "examples") == []
