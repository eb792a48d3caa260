"""`sluice monitor` on CSV files: what it prints, the files that it writes, and its exit codes."""

from __future__ import annotations

import csv
import json
from datetime import date, timedelta
from pathlib import Path

import pytest
from sluice.cli.main import main

from devservers import http_api
from devservers.http_api import HttpRequest, HttpResponse
from tests.tooling.pages.html_page import Page

ROOT = Path(__file__).parents[2]
FIRST = date(2026, 1, 5)
LAYERS = "day,raw_rows,rejected_rows,repeated_rows,transformed_rows,raw_revenue,explained_revenue,transformed_revenue"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with usual days and layers that balance, which DATA names."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("DATA", str(tmp_path))
    write_metrics(tmp_path, {})
    (tmp_path / "reconcile.csv").write_text(f"{LAYERS}\n2026-02-20,10,1,2,7,70.00,0.00,70.00\n")
    return tmp_path


def write_metrics(folder: Path, factors: dict[int, float | None]) -> None:
    lines = ["day,sales,revenue"]
    for number in range(60):
        factor = factors.get(number, 1)
        if factor is not None:
            lines.append(f"{FIRST + timedelta(days=number)},{round(200 * factor)},{5_000.5 * factor:.2f}")
    (folder / "daily_metrics.csv").write_text("\n".join(lines) + "\n")


def run(*arguments: str) -> int:
    return main(["monitor", "monitors/csv_series.yaml", *arguments])


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_nothing_found_exits_with_0_and_writes_headers(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(f"--out={data}/out") == 0
    assert capsys.readouterr().out == "csv_series: 0 found in 38 verdicts\n"
    assert (data / "out/alerts.csv").read_text() == (
        "metric,day,kind,observed,expected,low,high,severity,check,explanation\n"
    )
    assert (data / "out/reconciliation.csv").read_text() == (
        "day,figure,before,explained,after,difference,check,explanation\n"
    )


def test_findings_are_written_by_day_and_printed_worst_first(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_metrics(data, {50: 3.0, 52: None, 55: 0.5})
    (data / "reconcile.csv").write_text(
        f"{LAYERS}\n2026-02-20,10,1,2,6,70.00,0.00,70.01\n2026-02-21,,,,5,,,9.00\n2026-02-22,1,0,0,1,1,0,1\n"
    )
    assert run(f"--out={data}/out") == 1
    alerts = rows(data / "out/alerts.csv")
    assert [(row["metric"], row["day"], row["kind"], row["observed"]) for row in alerts] == [
        ("revenue", "2026-02-24", "high", "15001.5"),
        ("sales", "2026-02-24", "high", "600"),
        ("revenue", "2026-02-26", "missing", ""),
        ("sales", "2026-02-26", "missing", ""),
        ("revenue", "2026-03-01", "low", "2500.25"),
        ("sales", "2026-03-01", "low", "100"),
    ]
    assert [
        (row["day"], row["figure"], row["difference"]) for row in rows(data / "out/reconciliation.csv")
    ] == [
        ("2026-02-20", "revenue", "-0.01"),
        ("2026-02-20", "rows", "1"),
        ("2026-02-21", "rows", "-5"),
    ]
    findings = rows(data / "out/findings.csv")
    severities = [float(row["severity"]) for row in findings]
    assert (len(findings), severities) == (9, sorted(severities, reverse=True))
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == "csv_series: 9 found in 41 verdicts"
    assert printed[0].endswith(findings[0]["explanation"] + "; see daily_metrics.csv")


def test_newest_day_hides_later_rows(data: Path) -> None:
    write_metrics(data, {50: 3.0, 55: 0.5})
    assert run("--as-of=2026-02-23", f"--out={data}/out") == 0
    assert run("--as-of=2026-02-24", f"--out={data}/out") == 1
    assert [row["day"] for row in rows(data / "out/alerts.csv")] == ["2026-02-24"] * 2


def test_missing_day_is_found_as_soon_as_a_later_day_has_a_row(data: Path) -> None:
    write_metrics(data, {50: None})
    assert run("--as-of=2026-02-24") == 0
    assert run("--as-of=2026-02-25") == 1


def test_json_has_findings_and_checks_and_the_page_has_the_same(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_metrics(data, {50: 3.0})
    assert run("--json", "--as-of=2026-02-24", f"--html={data}/pages/monitor.html") == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["monitor"], document["as_of"]) == ("csv_series", "2026-02-24")
    assert [(finding["metric"], finding["day"], finding["kind"]) for finding in document["findings"]] == [
        ("revenue", "2026-02-24", "high"),
        ("sales", "2026-02-24", "high"),
    ]
    assert document["checks"][0] == {
        "name": "daily_metrics",
        "type": "anomalies",
        "judged": 18,
        "found": 2,
        "failure": None,
    }
    page = Page((data / "pages/monitor.html").read_text("utf-8"))
    assert page.figures == {"found": "2", "judged": "20"}
    assert [row[1:5] for row in page.rows["found"]] == [
        [
            finding["metric"],
            finding["day"],
            finding["kind"],
            f"{finding['observed']:,.2f}".removesuffix(".00"),
        ]
        for finding in document["findings"]
    ]


def test_check_that_cannot_be_asked_does_not_stop_the_others(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_metrics(data, {50: 3.0})
    (data / "reconcile.csv").unlink()
    assert run(f"--out={data}/out") == 2
    assert len(rows(data / "out/alerts.csv")) == 2
    assert capsys.readouterr().err == (
        f"sluice: monitors/csv_series.yaml: checks[1] layers: {data}/reconcile.csv: cannot read the file: "
        "No such file or directory\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--as-of=today"], "--as-of: expected a day, such as 2026-12-31, got 'today'"),
        (
            ["--warehouse=duckdb:///w.duckdb"],
            "--warehouse: monitors/csv_series.yaml asks CSV files; leave it out",
        ),
        (["--out=/dev/null/x"], "/dev/null/x: cannot write what the monitor found: Not a directory"),
        (["--html=/dev/null/x"], "/dev/null/x: cannot write the file: Not a directory"),
    ],
)
def test_what_cannot_work_exits_with_2(
    data: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    assert capsys.readouterr().err == f"sluice: {message}\n"


def test_variable_that_is_not_set_exits_with_2(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DATA")
    assert run() == 2
    assert capsys.readouterr().err == (
        "sluice: monitors/csv_series.yaml: tables: daily_metrics: expected the environment variable DATA, "
        "got nothing; set it\n"
    )


CSV = {
    "a byte order mark": (b"\xef\xbb\xbf", b""),
    "Windows line ends": (b"", b"\r"),
}


@pytest.mark.parametrize(("begin", "end"), CSV.values(), ids=CSV)
def test_csv_files_of_other_systems_are_read(data: Path, begin: bytes, end: bytes) -> None:
    write_metrics(data, {50: 3.0})
    path = data / "daily_metrics.csv"
    path.write_bytes(begin + path.read_bytes().replace(b"\n", end + b"\n"))
    assert run() == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected CSV with a header, in UTF-8: Empty CSV file"),
        (b"day,sales,revenue\n2026-01-05,1\n", "expected CSV with a header, in UTF-8: CSV parse error: "),
        (b"day,sales\n2026-01-05,1\n", "expected a query that works: Binder Error: "),
        (b"day,sales,revenue\nsoon,1,1\n", "day: expected a day, such as 2026-12-31, got 'soon'"),
        (b"day,sales,revenue\n2026-01-05,many,1\n", "2026-01-05: sales: expected a number, got 'many'"),
    ],
)
def test_csv_that_cannot_be_read_is_named(
    data: Path, content: bytes, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / "daily_metrics.csv").write_bytes(content)
    assert run() == 2
    said = capsys.readouterr().err
    assert said.startswith("sluice: monitors/csv_series.yaml: checks[0] daily_metrics: ")
    assert message in said


def watched(folder: Path, webhook: str) -> list[str]:
    """Write the monitor with a channel; return the arguments that run it."""
    path = folder / "watched.yaml"
    alerts = f"alerts:\n  channels:\n    - {{type: slack, webhook: '{webhook}'}}\n"
    path.write_text((ROOT / "monitors/csv_series.yaml").read_text() + alerts)
    return ["monitor", str(path), f"--state={folder}/state"]


def test_each_finding_is_sent_once_and_resolved_once(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bodies: list[str] = []

    def answer(request: HttpRequest) -> HttpResponse:
        bodies.append(request.body.decode())
        return HttpResponse(200)

    write_metrics(data, {50: 3.0})
    with http_api.start(answer) as api:
        monkeypatch.setenv("WEBHOOK", f"{api.url}/services/s3cret")
        arguments = watched(data, "${WEBHOOK}")
        assert [main(arguments), main(arguments)] == [1, 1]
        assert len(bodies) == 1
        assert "revenue of Tuesday, 2026-02-24 is 15,001.50" in bodies[0]
        write_metrics(data, {})
        assert [main(arguments), main(arguments)] == [0, 0]
    assert len(bodies) == 2
    assert capsys.readouterr().err == (
        "sluice: slack: sent 2 alerts and 0 resolved\nsluice: slack: sent 0 alerts and 2 resolved\n"
    )


def test_channel_that_fails_changes_no_exit_code_and_is_tried_again(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    statuses = [500, 200]
    write_metrics(data, {50: 3.0})
    with http_api.start(lambda _: HttpResponse(statuses.pop(0))) as api:
        monkeypatch.setenv("WEBHOOK", f"{api.url}/services/s3cret")
        arguments = watched(data, "${WEBHOOK}")
        assert main([*arguments, "--json", f"--out={data}/out"]) == 1
        first = capsys.readouterr()
        assert main(arguments) == 1
    assert json.loads(first.out)["monitor"] == "csv_series"
    assert first.err.startswith(
        "sluice: slack: did not send 2 alerts and 0 resolved, the next run tries again: "
    )
    assert "s3cret" not in first.err
    assert capsys.readouterr().err == "sluice: slack: sent 2 alerts and 0 resolved\n"
    assert len(rows(data / "out/alerts.csv")) == 2
