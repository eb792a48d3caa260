"""Tables that are not as their contracts want them: how they differ, and that a job goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sluice.cli.main import main
from sluice.contracts import Property
from sluice.tooling.tables import apply_contracts, contracts_of

from tests.graph.graph_fixture import MINUTE, GraphRun, batch, event


def test_job_continues_after_its_contract_gains_a_property(tmp_path: Path) -> None:
    graph_run = GraphRun(tmp_path, live=False)
    old = graph_run.job
    click = old.contracts["click"]
    newer = replace(click, version="1.1.0", properties=(*click.properties, Property("colour", "string")))
    later = replace(old, contracts={**old.contracts, "click": newer})

    def run(number: int) -> None:
        line = event(number, MINUTE + number)[:-1] + b',"colour":"red"}'
        made = graph_run.run(batch(line, arrival=MINUTE))
        assert (made.read, made.loaded, made.load_rejected, made.reconciled) == (1, 1, 0, True)

    run(1)
    graph_run.job = later
    run(2)
    assert graph_run.sql("select id, _extra ->> 'colour' from click_events order by id") == [
        (1, "red"),
        (2, "red"),
    ]
    assert apply_contracts(graph_run.warehouse, contracts_of(later)).applied == ["click_events.colour: added"]
    run(3)
    graph_run.job = old  # as after a rollback
    run(4)
    rows = graph_run.sql("select id, colour, _extra ->> 'colour' from click_events order by id")
    assert rows == [(1, None, "red"), (2, None, "red"), (3, "red", None), (4, None, "red")]


def test_streaming_job_over_the_load_quota_of_bigquery_does_not_start(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["run", "jobs/clickstream.yaml", "--warehouse=bigquery://my-project/events"]
    assert main([*arguments, "--load=events,counts", "--windows.flush=2s"]) == 2
    assert capsys.readouterr().err == (
        "sluice: windows.flush: 2s (event types: 1, shards: 1) makes up to 44,640 loads a day of one table and"
        " 89,280 of all; BigQuery takes 30,000 and 100,000; use 4s or more\n"
    )


JOB = """
name: shop
contracts: {folder}/contract.odcs.yaml
source: ${{NOWHERE}}/*
files: out/files
warehouse: {warehouse}
dead_letters: out/letters
"""
CONTRACT = Path("schemas/clickstream/user_activity.odcs.yaml")


def test_tables_command_creates_reports_and_applies_differences(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = tmp_path / "job.yaml"
    job.write_text(JOB.format(folder=tmp_path, warehouse=f"sqlite:///{tmp_path}/w.db"))
    contract = tmp_path / "contract.odcs.yaml"
    contract.write_text(CONTRACT.read_text("utf-8"))

    def tables(*options: str) -> tuple[int, list[str]]:
        code = main(["tables", str(job), *options])
        return code, capsys.readouterr().out.splitlines()

    names = ("user_activity", "dead_letters", "redeliveries", "source_files")
    assert tables("--diff") == (1, [f"{name}: no such table" for name in names])
    assert tables("--create", "--load", "events,counts") == (0, ["user_activity: created"])
    own = ["dead_letters: created", "redeliveries: created", "source_files: created"]
    assert tables("--create") == (0, own)
    assert tables("--create") == (0, ["shop: all tables exist"])
    assert tables("--diff") == (0, ["shop: no difference"])
    text = contract.read_text("utf-8")
    contract.write_text(text.replace("- name: page\n", "- name: shop\n", 1))
    more = "user_activity.page: expected no such column, got page TEXT"
    assert tables("--diff") == (1, ["user_activity.shop: expected shop TEXT, got no such column", more])
    why = "left, as only columns that may be null are added; a run works"
    assert tables("--apply") == (1, ["user_activity.shop: added", f"{more}: {why}"])
    contract.write_text(text)
    shop = f"user_activity.shop: expected no such column, got shop TEXT: {why}"
    assert tables("--apply") == (1, [shop])
    assert tables("--apply", "--warehouse", f"sqlite:///{tmp_path}/other.db") == (
        0,
        [f"{name}: created" for name in names],
    )
