from __future__ import annotations

import glob
import os
from pathlib import Path

import pytest
from sluice.config.job import Windows, load_job
from sluice.config.urls import Url
from sluice.errors import ConfigError
from sluice.sources import parse_source
from sluice.sources.dead_letters.connector import DeadLettersConnector

CONTRACTS = str(Path(__file__).parents[2] / "schemas" / "backend_events")

JOB = f"""\
name: shop
contracts: {CONTRACTS}
route_by: event_type
source: in/*.json
files: out/files
warehouse: duckdb:///out/w.duckdb
dead_letters: out/dead
windows: {{counts: 30s, flush: 500ms, allowed_lateness: 2h, max_skew: 1m, shards: 2}}
"""

SIGNUP = """\
apiVersion: v3.2.0
kind: DataContract
id: signup
version: 1.0.0
status: active
domain: shop
name: Signups
schema:
  - name: signup
    physicalName: signups
    logicalType: object
    description: Somebody signed up.
    customProperties:
      - {property: eventTime, value: at}
    properties:
      - {name: at, logicalType: timestamp, required: true, description: When.}
      - {name: trace, logicalType: string, description: Of the request.}
      - name: email
        logicalType: string
        description: Who.
        classification: restricted
        customProperties: [{property: mask, value: hash}, {property: aliases, value: [mail]}]
      - name: phones
        logicalType: array
        description: Numbers.
        items:
          logicalType: string
          required: true
          description: One.
          classification: restricted
          customProperties: [{property: mask, value: hash}]
"""


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    path = tmp_path / "job.yaml"
    path.write_text(JOB)
    return path


def test_job_file_is_read_with_every_key(job_file: Path) -> None:
    job = load_job(str(job_file))
    assert (job.name, job.route_by, job.source) == ("shop", "event_type", Url("in/*.json"))
    assert sorted(job.contracts) == ["inventory", "order", "user_activity"]
    assert job.windows == Windows(counts=30, flush=0.5, allowed_lateness=7200, max_skew=60, shards=2)


def test_windows_without_keys_have_defaults(job_file: Path) -> None:
    job_file.write_text("\n".join(line for line in JOB.splitlines() if not line.startswith("windows")))
    assert load_job(str(job_file)).windows == Windows(
        counts=10, flush=10, allowed_lateness=7 * 86400, max_skew=600, shards=1
    )


def test_flag_overrides_its_key(job_file: Path) -> None:
    job = load_job(str(job_file), {"source": "other/*", "windows.counts": "10s", "windows.shards": "4"})
    assert (job.source, job.windows.counts, job.windows.shards) == (Url("other/*"), 10, 4)
    assert (job.retry_for, load_job(str(job_file), {"retry_for": "2m"}).retry_for) == (None, 120)


def test_missing_key_is_read_from_its_flag(job_file: Path) -> None:
    job_file.write_text(JOB.replace("source: in/*.json\n", ""))
    assert load_job(str(job_file), {"source": "x"}).source == Url("x")
    with pytest.raises(ConfigError) as raised:
        load_job(str(job_file))
    assert str(raised.value) == f"{job_file}: source: expected this key, got nothing; add it or pass --source"


def test_event_time_default_needs_a_job_of_one_contract(job_file: Path) -> None:
    schemas = Path(CONTRACTS).parent / "commerce"
    assert list(load_job(str(job_file), {"contracts": str(schemas / "product.odcs.yaml")}).contracts) == [
        "product"
    ]
    with pytest.raises(ConfigError) as raised:
        load_job(str(job_file), {"contracts": str(schemas)})
    assert str(raised.value) == (
        f"{job_file}: contracts: expected product alone, whose event time is the arrival, got 3"
    )


def test_property_from_the_source_needs_a_job_of_one_contract(job_file: Path) -> None:
    schemas = Path(CONTRACTS).parent / "audit"
    event = {"contracts": str(schemas / "audit_event.odcs.yaml")}
    assert list(load_job(str(job_file), event).contracts) == ["audit_event"]
    with pytest.raises(ConfigError) as raised:
        load_job(str(job_file), {"contracts": str(schemas)})
    assert str(raised.value) == (
        f"{job_file}: contracts: expected audit_event alone, which has properties with `fromSource`, got 3"
    )


def test_load_key_is_a_list_or_a_flag_with_commas(job_file: Path) -> None:
    assert load_job(str(job_file)).load == ("events", "counts", "dead_letters", "sources")
    assert load_job(str(job_file), {"load": "dead_letters,counts"}).load == ("counts", "dead_letters")
    job_file.write_text(f"{JOB}\nload: [counts]\n")
    assert load_job(str(job_file)).load == ("counts",)


def test_safe_attributes_are_a_list_or_a_flag_with_commas(job_file: Path) -> None:
    assert load_job(str(job_file)).safe_attributes == ()
    assert load_job(str(job_file), {"safe_attributes": "a, kafka.key"}).safe_attributes == ("a", "kafka.key")
    job_file.write_text(f"{JOB}\nsafe_attributes: [a]\n")
    assert load_job(str(job_file)).safe_attributes == ("a",)


@pytest.mark.parametrize("name", ["email", "Email", "phones", "MAIL", "E\u200dmail"])
def test_masked_property_is_no_safe_attribute(tmp_path: Path, job_file: Path, name: str) -> None:
    contract = tmp_path / "signup.odcs.yaml"
    contract.write_text(SIGNUP)
    with pytest.raises(ConfigError) as raised:
        load_job(str(job_file), {"contracts": str(contract), "safe_attributes": f"trace,{name}"})
    assert str(raised.value) == (
        f"{job_file}: safe_attributes: expected attributes without personal data, got {name!r}, a property that "
        "signup@1.0.0 masks; remove it"
    )


def test_environment_variables_are_substituted(job_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job_file.write_text(JOB.replace("in/*.json", "'${BUCKET}/x'"))
    monkeypatch.setenv("BUCKET", "s3://b")
    assert load_job(str(job_file)).source == Url("s3://b/x")
    monkeypatch.delenv("BUCKET")
    with pytest.raises(ConfigError) as raised:
        load_job(str(job_file))
    assert str(raised.value) == (
        f"{job_file}: source: expected the environment variable BUCKET, got nothing; set it"
    )
    assert load_job(str(job_file), unused=["source"]).source == Url("BUCKET/x")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "name: shop",
            "nmae: shop",
            "nmae: unknown key; did you mean name?",
        ),
        (
            "counts: 30s",
            "count: 30s",
            "windows.count: unknown key; did you mean windows.counts?",
        ),
        (
            "name: shop",
            "title: shop",
            "title: unknown key; expected one of name, contracts, source, files, warehouse, dead_letters, route_by, "
            "retry_for, quarantine, privacy_key, safe_attributes, load, max_rejected, windows.counts, windows.flush, "
            "windows.allowed_lateness, windows.max_skew, windows.shards, relative_to",
        ),
        (
            "flush: 500ms",
            "flush: 10",
            "windows.flush: expected a duration with its unit, such as 500ms, 10s, 5m, 2h or 7d, got 10",
        ),
        (
            "counts: 30s",
            "counts: 7s",
            "windows.counts: expected a whole part of a minute, such as 5s, 10s, 30s or 1m, got '7s'",
        ),
        ("max_skew: 1m", "max_skew: 3651d", "windows.max_skew: expected at most 3650d, got '3651d'"),
        ("name: shop", "name: shop\nretry_for: 3651d", "retry_for: expected at most 3650d, got '3651d'"),
        (
            "name: shop",
            "name: shop\nload: [dead_letters]",
            "load: expected a list of events, counts, dead_letters, sources, among them events or counts; got "
            "'dead_letters'",
        ),
        (
            "name: shop",
            "name: shop\nload: counts,[]",
            "load: expected a list of events, counts, dead_letters, sources, among them events or counts; got "
            "'counts,[]'",
        ),
        (
            "name: shop",
            "name: shop\nsafe_attributes: [trace, ' ']",
            "safe_attributes: expected a list of names, such as [trace_id, kafka.key], got ['trace', ' ']",
        ),
        (
            "name: shop",
            "name: shop\nsafe_attributes: 7",
            "safe_attributes: expected a list of names, such as [trace_id, kafka.key], got 7",
        ),
        ("shards: 2", "shards: 0", "windows.shards: expected a whole number from 1 to 64, got 0"),
        ("shards: 2", "shards: 1.5", "windows.shards: expected a whole number from 1 to 64, got 1.5"),
        ("source: in/*.json", "source: [a]", "source: expected text, got ['a']"),
        (
            "route_by: event_type\n",
            "",
            "route_by: expected the property that tells inventory, order, user_activity apart, got nothing",
        ),
    ],
)
def test_mistake_is_reported_with_file_key_and_fix(job_file: Path, old: str, new: str, message: str) -> None:
    job_file.write_text(JOB.replace(old, new))
    with pytest.raises(ConfigError) as raised:
        load_job(str(job_file))
    assert str(raised.value) == f"{job_file}: {message}"


def test_mistake_in_a_flag_is_reported_with_the_flag(job_file: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        load_job(str(job_file), {"windows.max_skew": "10x"})
    assert str(raised.value) == (
        "--windows.max-skew: expected a duration with its unit, such as 500ms, 10s, 5m, 2h or 7d, got '10x'"
    )


def test_file_that_is_no_job_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    with pytest.raises(ConfigError) as raised:
        load_job(str(path))
    assert str(raised.value) == f"{path}: cannot read the job file: No such file or directory"
    path.write_text("- a\n")
    with pytest.raises(ConfigError) as raised:
        load_job(str(path))
    assert str(raised.value) == f"{path}: expected a mapping of keys such as name and source, got list"
    path.write_text("a: [\n")
    with pytest.raises(ConfigError, match=r"job.yaml: line 2, column 1: expected YAML, got a mistake: "):
        load_job(str(path))


def test_address_prints_without_its_secrets_and_knows_where_it_was_given(job_file: Path) -> None:
    secret = "s3cr3t"
    job_file.write_text(JOB.replace("in/*.json", f"mongodb://u:{secret}@h/d.c"))
    job = load_job(str(job_file), {"warehouse": f"postgresql://u:{secret}@h/d"})
    assert (job.source.where, job.warehouse.where) == (f"{job_file}: source", "--warehouse")
    assert secret not in f"{job} {job!r} {job.source} {job.warehouse}"
    assert job.warehouse.reveal() == f"postgresql://u:{secret}@h/d"


@pytest.mark.parametrize(
    ("key", "written", "read"),
    [
        ("source", "in/*.json", "{folder}/in/*.json"),
        ("source", "../in", "{parent}/in"),
        ("source", "/in/a", "/in/a"),
        ("source", "-", "-"),
        ("source", "${ABSENT:-in}/a", "{folder}/in/a"),
        ("source", "${BUCKET}/a", "gs://b/a"),
        ("source", "file:///in/a", "file:///in/a"),
        ("source", "kafka://h:9092/t?group=g", "kafka://h:9092/t?group=g"),
        ("source", "dead-letters:dead", "dead-letters:{folder}/dead"),
        ("source", "dead-letters:../d%3F?code=enum", "dead-letters:{parent}/d%3F?code=enum"),
        ("source", "dead-letters:/dead?job=a/b", "dead-letters:/dead?job=a/b"),
        (
            "source",
            "dead-letters:gs://b/d?code=c&quarantine=q",
            "dead-letters:gs://b/d?code=c&quarantine={folder}/q",
        ),
        ("source", "dead-letters:gs%3A%2F%2Fb/d?quarantine=/q", "dead-letters:gs%3A%2F%2Fb/d?quarantine=/q"),
        ("source", "dead-letters:${BUCKET}/dead", "dead-letters:gs://b/dead"),
        ("files", "out", "{folder}/out"),
        ("warehouse", "duckdb:///out/w.duckdb", "duckdb:///{folder}/out/w.duckdb"),
        ("warehouse", "sqlite:////out/w.sqlite", "sqlite:////out/w.sqlite"),
        ("warehouse", "postgresql://u@h/d", "postgresql://u@h/d"),
    ],
)
def test_paths_may_be_relative_to_the_job_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, written: str, read: str
) -> None:
    monkeypatch.setenv("BUCKET", "gs://b")
    folder = tmp_path / "jobs"
    folder.mkdir()
    lines = [line for line in JOB.splitlines() if not line.startswith(f"{key}:")]
    (folder / "job.yaml").write_text("\n".join([*lines, f"{key}: '{written}'", "relative_to: job"]))
    job = load_job(str(folder / "job.yaml"))
    assert getattr(job, key).reveal() == read.format(folder=folder, parent=tmp_path)
    flagged = load_job(str(folder / "job.yaml"), {"dead_letters": "dead"})
    assert flagged.dead_letters.reveal() == "dead"


@pytest.mark.parametrize("place", ["in/*.json", "in", "in/a.json", "in/[b].json", "in/none.json"])
def test_folder_of_the_job_file_is_no_part_of_a_pattern(tmp_path: Path, place: str) -> None:
    folder = tmp_path / "[j]ob*?%"
    for name in (
        f"{folder.name}/in/a.json",
        f"{folder.name}/in/[b].json",
        "job/in/a.json",
        "job/in/none.json",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    lines = JOB.replace("in/*.json", f"'{place}'").replace("out/dead", "'dead[1]'")
    (folder / "job.yaml").write_text(f"{lines}relative_to: job\n")
    job = load_job(str(folder / "job.yaml"))
    source = job.source.reveal()
    files = {
        "in/*.json": [folder / "in/[b].json", folder / "in/a.json"],
        "in/none.json": [],
    }
    # What exists is taken by its name, anything else as a pattern.
    found = [source] if os.path.exists(source) else sorted(glob.glob(source))
    assert found == list(map(str, files.get(place, [folder / place])))
    assert job.dead_letters.reveal() == f"{folder}/dead[1]"


def test_folder_of_the_job_file_is_percent_encoded_in_the_address_of_dead_letters(tmp_path: Path) -> None:
    folder = tmp_path / "50% #1?"
    folder.mkdir()
    lines = JOB.replace("in/*.json", "'dead-letters:a b?quarantine=q%26'")
    (folder / "job.yaml").write_text(f"{lines}relative_to: job\n")
    source = parse_source(load_job(str(folder / "job.yaml")).source)
    assert isinstance(source, DeadLettersConnector)
    assert (source.folder.reveal(), source.quarantine) == (f"{folder}/a b", Url(f"{folder}/q&"))


def test_paths_are_relative_to_nothing_else(job_file: Path) -> None:
    job_file.write_text(f"{JOB}relative_to: home\n")
    with pytest.raises(ConfigError) as error:
        load_job(str(job_file))
    assert str(error.value) == f"{job_file}: relative_to: expected job, or no such key, got 'home'"
