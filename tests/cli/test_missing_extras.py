"""A command that needs an extra that is not installed says so in one line, and how to install it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from sluice.sources import SOURCES
from sluice.warehouses import WAREHOUSES

from devservers.tools import ROOT

MODULES = {
    "alerts": ("apprise",),
    "aws": ("boto3", "botocore", "obstore"),
    "api": ("httpx",),
    "gcp": ("google.cloud", "google.api_core", "google.auth", "apitools"),
    "kafka": ("confluent_kafka",),
    "mongodb": ("pymongo", "bson"),
    "postgres": ("adbc_driver_manager", "adbc_driver_postgresql"),
    "snowflake": ("snowflake",),
}
"""Extra -> the modules that it alone installs."""

JOB = f"""\
name: shop
contracts: {ROOT}/schemas/commerce/sale.odcs.yaml
source: in/*.json
files: files
warehouse: sqlite:///w.db
dead_letters: dead
"""

ADDRESSES = {
    "aws": {
        "source": ["s3://b/x", "dead-letters:s3://b/x", "http://h/x#keep=s3://b/x"],
        "files": ["s3://b/x"],
    },
    "api": {"source": ["http://h/x", "https://h/x"]},
    "gcp": {
        "source": [
            "gs://b/x",
            "dead-letters:gs://b/x",
            "http://h/x#keep=gs://b/x",
            "pubsub://projects/p/subscriptions/s",
        ],
        "files": ["gs://b/x"],
        "warehouse": ["bigquery://p/d"],
    },
    "kafka": {"source": ["kafka://h:9092/t?group=g"]},
    "mongodb": {"source": ["mongodb://h/d.c", "mongodb+srv://h/d.c"]},
    "postgres": {"warehouse": ["postgresql://h/d"]},
    "snowflake": {"warehouse": ["snowflake://u@a/d/s"]},
}
"""Extra -> key of a job file -> addresses that need it."""

FLAGS = {"tables": ["--diff"]}

RUN_ALL = """\
import contextlib, io, json, sys
from importlib.abc import MetaPathFinder

blocked, lines = json.load(sys.stdin)

class Missing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if any(name == module or name.startswith(module + ".") for module in blocked):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
from sluice.cli.main import main
for line in lines:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(line)
    print(json.dumps([line, code, out.getvalue(), err.getvalue()]))
"""


def command_lines(extra: str) -> list[list[str]]:
    """Return every command with each of its places at an address that needs the extra."""
    lines = []
    for key, addresses in ADDRESSES[extra].items():
        for address in addresses:
            lines.append(["run", "job.yaml", f"--{key}={address}"])
            if key == "warehouse":
                for command in ("load", "verify", "tables"):
                    lines.append([command, "job.yaml", f"--warehouse={address}", *FLAGS.get(command, [])])
            if key == "files":
                lines += [
                    ["run", "job.yaml", f"--dead-letters={address}"],
                    ["run", "masked.yaml", f"--quarantine={address}"],
                    ["load", "job.yaml", f"--files={address}"],
                    ["load", "job.yaml", f"--dead-letters={address}"],
                    ["verify", "job.yaml", f"--files={address}"],
                    ["verify", "job.yaml", f"--dead-letters={address}"],
                    ["redeliver", "job.yaml", f"--dead-letters={address}", "--dry-run"],
                    ["publish", "job.yaml", "--to=kafka://127.0.0.1:9/t", f"--source={address}"],
                    ["report", address],
                ]
    if extra == "gcp":
        lines += [
            ["publish", "job.yaml", "--generate", "--to=pubsub://projects/p/topics/t"],
            ["run", "job.yaml", "--runner=DataflowRunner"],
        ]
    if extra == "kafka":
        lines.append(["publish", "job.yaml", "--generate", "--to=kafka://h:9092/t"])
    return lines


def test_every_extra_and_connector_is_tried() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {*MODULES} == {*declared} - {"dev"}
    assert {*ADDRESSES} == {*MODULES} - {"alerts"}
    tried = {
        address.partition(":")[0]
        for keys in ADDRESSES.values()
        for all_of in keys.values()
        for address in all_of
    }
    needed = {
        scheme for scheme, connector in {**SOURCES, **WAREHOUSES}.items() if connector.client is not None
    }
    assert needed <= tried


MONITOR = """\
name: m
tables: {days: days.csv}
checks:
  - {name: age, type: freshness, query: select max(day) as newest from days, max_age: 1d, where: days.csv}
alerts: {channels: [{type: apprise, url: "${APPRISE_URL}"}]}
"""


def test_monitor_without_the_extra_of_a_channel_names_it_and_prints_what_it_found(tmp_path: Path) -> None:
    (tmp_path / "monitor.yaml").write_text(MONITOR)
    (tmp_path / "days.csv").write_text("day\n2025-01-01 00:00:00\n")
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL],
        cwd=tmp_path,
        env={**os.environ, "APPRISE_URL": "json://127.0.0.1:9"},
        input=json.dumps([MODULES["alerts"], [["monitor", "monitor.yaml"]]]),
        capture_output=True,
        text=True,
        check=False,
    )
    (_, code, out, err) = json.loads(done.stdout)
    assert code == 1
    assert out.endswith("m: 1 found in 1 verdicts\n")
    assert err == (
        "sluice: apprise: did not send 1 alert and 0 resolved, the next run tries again: apprise: its client is not "
        "installed: pip install 'sluice-beam[alerts]'\n"
    )


@pytest.mark.parametrize("extra", ADDRESSES)
def test_command_without_its_extra_is_one_line_that_names_it(extra: str, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(JOB)
    contract = (ROOT / "schemas/backend_events/user_activity.odcs.yaml").read_text("utf-8")
    mask = "classification: restricted\n        customProperties: [{property: mask, value: hash}]"
    (tmp_path / "masked.odcs.yaml").write_text(contract.replace("classification: restricted", mask, 1))
    (tmp_path / "masked.yaml").write_text(JOB.replace(f"{ROOT}/schemas/commerce/sale", "masked"))
    (tmp_path / "in").mkdir()
    (tmp_path / "in/sales.json").write_bytes(b'{"sale_id":"S1"}\n')
    lines = command_lines(extra)
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL],
        cwd=tmp_path,
        env={**os.environ, "SLUICE_PRIVACY_KEY": "a key of thirty-two bytes or more"},
        input=json.dumps([MODULES[extra], lines]),
        capture_output=True,
        text=True,
        check=False,
    )
    ended = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line for line, *_ in ended] == lines, done.stderr
    hint = f"its client is not installed: pip install 'sluice-beam[{extra}]'\n"
    wrong = [
        (line, code, out, err)
        for line, code, out, err in ended
        if code != 2 or (out and line[0] != "verify") or not err.endswith(hint) or err.count("\n") > 1
    ]
    assert not wrong
