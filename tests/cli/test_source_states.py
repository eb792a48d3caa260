"""`sluice sources JOB`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sluice.cli.main import main
from sluice.eventlog.source_manifest import RunOfJob, SourceManifest, make_entries
from sluice.provenance import Source
from sluice.source_tallies import SourceTally

JOB = """\
name: shop
contracts: sale.odcs.yaml
source: in
files: out/files
warehouse: duckdb:///out/w.duckdb
dead_letters: ${DEAD}
"""
CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: shop-sale
version: 1.0.0
domain: shop
schema:
  - name: sale
    physicalName: sales
    properties:
      - {name: id, logicalType: string, required: true}
"""


@pytest.fixture(autouse=True)
def _job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "job.yaml").write_text(JOB)
    (tmp_path / "sale.odcs.yaml").write_text(CONTRACT)


def test_sources_of_a_job_are_listed_with_their_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        (tmp_path / "in" / name).write_bytes(b"12")
        os.utime(tmp_path / "in" / name, (60, 60))
    manifest = SourceManifest.at("out/files")
    manifest.log.open()
    tallies = {Source(f"{tmp_path}/in/a"): SourceTally(1_300, 1_000, 200, 100, size=2, modified=60.0)}
    _ = list(manifest.append(make_entries(RunOfJob("shop", "r1", 60.0), tallies, {})))
    assert main(["sources", "job.yaml"]) == 0
    first, *table = capsys.readouterr().out.splitlines()
    assert first == "shop: 1 new, 1 read"
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in table if line.startswith("│")]
    assert "".join(row[1] for row in cells) == f"{tmp_path}/in/b{tmp_path}/in/a"
    assert [(row[0], *row[2:]) for row in cells if row[0]] == [
        ("new", "", "", "", "", ""),
        ("read", "1970-01-01 00:01:00", "1,300", "1,000", "200", "100"),
    ]


def test_job_without_files_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sources", "job.yaml"]) == 1
    assert capsys.readouterr().err == "sluice: no file matches 'in'\n"
