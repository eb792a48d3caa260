"""Monitor files are read strictly: each mistake is one line with file, key, what was expected and what came."""

from __future__ import annotations

from pathlib import Path

import pytest
from sluice.errors import ConfigError
from sluice.tooling.monitors.reading import expand, is_monitor_file, load_monitor

ROOT = Path(__file__).parents[3]

ANOMALIES = "{name: a, type: anomalies, query: select 1, metrics: {x: count}}"
CSV = "tables: {t: t.csv}"


@pytest.mark.parametrize("path", sorted((ROOT / "monitors").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_monitor_is_read_and_has_the_name_of_its_file(path: Path) -> None:
    assert load_monitor(str(path)).name == path.stem
    assert is_monitor_file(path)


BEGIN = f"name: m, {CSV}"

MISTAKES = {
    "": "expected a mapping of keys such as name and checks, got nothing",
    "[]": "expected a mapping of keys such as name and checks, got list",
    f"{{{CSV}, checks: [{ANOMALIES}]}}": "name: expected this key, got nothing; add it",
    f"{{{BEGIN}}}": "checks: expected a list of checks, got None",
    f"{{{BEGIN}, checks: []}}": "checks: expected a list of checks, got []",
    f"{{name: m, chekcs: [], {CSV}}}": "chekcs: unknown key; did you mean checks?",
    f"{{name: m, chart: [], {CSV}}}": "chart: unknown key; expected one of name, job, warehouse, tables, variables, "
    "warehouse_variables, checks, alerts",
    f"{{name: m, 'postgresql://ann:hunter2@h/db': x, {CSV}}}": "postgresql://h/db: unknown key; expected one of name, "
    "job, warehouse, tables, variables, warehouse_variables, checks, alerts",
    f"{{name: m, checks: [{ANOMALIES}]}}": "expected either tables, or job or warehouse, got neither",
    f"{{name: m, job: j.yaml, {CSV}, checks: [{ANOMALIES}]}}": "expected either tables, or job or warehouse, got both",
    f"{{{BEGIN}, checks: [7]}}": "checks[0]: expected a mapping with name and type, got 7",
    f"{{{BEGIN}, checks: [{{name: a, type: anomolies}}]}}": "checks[0]: type: unknown type 'anomolies'; "
    "did you mean anomalies?",
    f"{{{BEGIN}, checks: [{{name: a, type: [x]}}]}}": "checks[0]: type: unknown type ['x']; expected one "
    "of anomalies, reconcile, freshness, volume, error_rate, drift",
    f"{{{BEGIN}, checks: [{{name: a, type: anomalies, query: q}}]}}": "checks[0]: metrics: expected this key, "
    "got nothing; add it",
    f"{{{BEGIN}, checks: [{{name: a, type: anomalies, qeury: q}}]}}": "checks[0]: qeury: unknown key; did you "
    "mean query?",
    f"{{{BEGIN}, checks: [{{name: a, type: anomalies, query: q, metrics: {{x: sum}}}}]}}": "checks[0]: metrics: "
    "x: expected one of amount, count, got 'sum'",
    f"{{{BEGIN}, checks: [{{name: a, type: anomalies, query: q, metrics: []}}]}}": "checks[0]: metrics: expected "
    "columns and their types, such as {revenue: amount, sales: count}, got []",
    f"{{{BEGIN}, checks: [{ANOMALIES}, {ANOMALIES}]}}": "checks: expected a name of its own for each check, "
    "got 'a' twice",
    f"{{{BEGIN}, checks: [{{name: v, type: volume, query: q, metrics: {{x: count}}}}]}}": "checks[0]: expected "
    "at least one of at_least, at_most, got none; add one",
    f"{{{BEGIN}, checks: [{{name: d, type: drift}}]}}": "checks[0]: expected a job, whose tables are compared, "
    "got none; add job",
    f"{{{BEGIN}, checks: [{{name: f, type: freshness, query: q, max_age: 26}}]}}": "checks[0]: max_age: expected "
    "a duration with its unit, such as 500ms, 10s, 5m, 2h or 7d, got 26",
    f"{{{BEGIN}, checks: [{{name: r, type: reconcile, query: q, figures: {{rows: {{before: a}}}}}}]}}": "checks[0]: "
    "figures: rows: expected before and after, and at most explained and tolerance, got a mapping",
    f"{{{BEGIN}, checks: [{{name: e, type: error_rate, query: q, at_most: 5}}]}}": "checks[0]: at_most: expected "
    "a share from 0% to 100%, such as 5%, got 5",
    f"{{{BEGIN}, checks: [{{name: e, type: error_rate, query: q, times_average: 1}}]}}": "checks[0]: "
    "times_average: expected a number above 1, such as 2, got 1",
    f"{{{BEGIN}, checks: [{{name: a b, type: drift}}]}}": "checks[0]: name: expected a name of letters, digits, "
    "_, . and -, got 'a b'",
    f"{{{BEGIN}, warehouse_variables: {{postgres: {{}}}}}}": "warehouse_variables: postgres: unknown key; did you "
    "mean postgresql?",
    f"{{{BEGIN}, warehouse_variables: [x]}}": "warehouse_variables: expected a mapping of warehouses and their "
    "variables, got ['x']",
    f"{{{BEGIN}, warehouse_variables: {{duckdb: {{X: 1}}}}}}": "warehouse_variables: duckdb: X: expected text, got 1",
    f"{{name: m, tables: [t], checks: [{ANOMALIES}]}}": "tables: expected a mapping of names and texts, got ['t']",
}


@pytest.mark.parametrize(("text", "message"), MISTAKES.items(), ids=MISTAKES.values())
def test_mistake_in_a_monitor_file_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load_monitor(str(path))
    assert str(raised.value) == f"{path}: {message}"


def test_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        load_monitor(str(tmp_path / "no.yaml"))
    assert str(raised.value) == f"{tmp_path}/no.yaml: cannot read the monitor file: No such file or directory"


def test_variables_have_defaults_which_the_environment_overrides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(f"{{{BEGIN}, variables: {{MARTS: marts}}, checks: [{ANOMALIES}]}}")
    monitor = load_monitor(str(path))
    monkeypatch.delenv("MARTS", raising=False)
    assert expand(monitor, "select ${MARTS}.x", "w") == "select marts.x"
    monkeypatch.setenv("MARTS", "other")
    assert expand(monitor, "select ${MARTS}.x", "w") == "select other.x"
    monkeypatch.setenv("MARTS", "MARTS")
    assert expand(monitor, "select ${MARTS}.x", "w") == "select MARTS.x"
    monkeypatch.delenv("NOWHERE", raising=False)
    with pytest.raises(ConfigError) as raised:
        expand(monitor, "${NOWHERE}", "m.yaml: query")
    assert (
        str(raised.value) == "m.yaml: query: expected the environment variable NOWHERE, got nothing; set it"
    )


def test_monitor_files_are_told_from_jobs(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("{name: j, source: x}")
    (tmp_path / "any.yaml").write_text("{name: m, checks: []}")
    (tmp_path / "monitors").mkdir()
    (tmp_path / "monitors/empty.yaml").write_text("")
    assert [is_monitor_file(path) for path in sorted(tmp_path.rglob("*.yaml"))] == [True, False, True]
