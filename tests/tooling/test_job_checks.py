from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sluice.config.job import load_job
from sluice.errors import ConfigError
from sluice.runtime.launch import run_job
from sluice.tooling.job_checks import job_problems
from sluice.tooling.lint import check_files

CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: NAME
version: 1.0.0
status: active
domain: shop
name: NAME
schema:
  - name: NAME
    physicalName: NAMEs
    logicalType: object
    description: Something happened.
    customProperties: [{property: eventTime, value: at}]
    properties:
      - {name: kind, logicalType: string, required: true, enum: [{value: NAME}], description: What.}
      - {name: at, logicalType: timestamp, required: true, description: When.}
"""
JOB = """\
name: shop
contracts: schemas/shop
route_by: kind
source: in/*
files: out/files
warehouse: duckdb:///out/w.duckdb
dead_letters: out/dead
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "schemas" / "shop").mkdir(parents=True)
    for name in ("order", "refund"):
        (tmp_path / "schemas" / "shop" / f"{name}.odcs.yaml").write_text(CONTRACT.replace("NAME", name))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.json").write_text('{"kind":"order","at":"2025-02-08T13:09:00Z"}\n')
    return tmp_path


def problems_of(text: str) -> list[str]:
    Path("job.yaml").write_text(text)
    problems = check_files(["job.yaml"])
    if problems:  # a run is refused for the same reason, before anything is written
        with pytest.raises(ConfigError) as raised:
            run_job(load_job("job.yaml"))
        assert str(raised.value) == problems[0]
        assert not Path("out").exists()
    return problems


def test_sound_job_has_no_problems(folder: Path) -> None:
    assert problems_of(JOB) == []
    assert job_problems(load_job("job.yaml")) == []


def test_route_by_that_contracts_lack_is_a_problem_of_each(folder: Path) -> None:
    assert problems_of(JOB.replace("route_by: kind", "route_by: event_type")) == [
        f"job.yaml: route_by: expected a property of every contract, got 'event_type', which {name} "
        f"(schemas/shop/{name}.odcs.yaml) lacks; its properties are kind, at"
        for name in ("order", "refund")
    ]


def test_route_by_that_has_another_value_than_the_event_type_is_a_problem(folder: Path) -> None:
    path = folder / "schemas" / "shop" / "refund.odcs.yaml"
    path.write_text(path.read_text().replace("{value: refund}", "{value: money_back}"))
    assert problems_of(JOB) == [
        "schemas/shop/refund.odcs.yaml: property kind: events are routed by it, so expected a required string "
        "with `enum: [{value: refund}]`, got money_back"
    ]


def test_source_that_holds_the_outputs_is_a_problem(folder: Path) -> None:
    assert problems_of(JOB.replace("in/*", "'**/*.json'")) == [
        "job.yaml: source: expected records that the job does not write itself, got **/*.json, which holds the "
        "event log out/files; name another source, or write elsewhere"
    ]


def test_flag_that_names_the_outputs_is_refused_by_its_name(folder: Path) -> None:
    Path("job.yaml").write_text(JOB)
    job = load_job("job.yaml", {"source": "out"})
    assert [problem.partition(":")[0] for problem in job_problems(job)] == ["--source"]
    assert job_problems(replace(job, source=load_job("job.yaml").source)) == []


@pytest.mark.parametrize(
    ("old", "new", "start"),
    [
        ("in/*", "ftp://host/in", "job.yaml: source: "),
        ("in/*", "kafka://localhost/t?group=g&colour=red", "job.yaml: source: "),
        ("out/files", "ftp://host/out", "job.yaml: files: "),
        ("duckdb:///out/w.duckdb", "oracle://host/db", "job.yaml: warehouse: "),
        ("out/dead", "ftp://host/dead", "job.yaml: dead_letters: "),
        ("name: shop", "name: shop\nname: shop", "job.yaml: "),
    ],
)
def test_unknown_schemes_options_and_duplicate_keys_are_problems(
    folder: Path, old: str, new: str, start: str
) -> None:
    Path("job.yaml").write_text(JOB.replace(old, new))
    (problem,) = check_files(["job.yaml"])
    assert problem.startswith(start)
