"""Every command, with an address of every connector that holds a password: it is in no output."""

from __future__ import annotations

from pathlib import Path

import pytest
from sluice.cli.commands import COMMANDS
from sluice.cli.main import main
from sluice.sources import SOURCES
from sluice.warehouses import WAREHOUSES

PASSWORD = "s3cr3t-w0rd"  # noqa: S105  what must not be printed
CLOSED = f"ada:{PASSWORD}@127.0.0.1:9"
"""User, password, and a port that nobody listens on."""

SOURCE_ADDRESSES = {
    "dead-letters": f"dead-letters:s3://{CLOSED}/folder",
    "gs": f"gs://ada:{PASSWORD}@bucket/files",
    "http": f"http://{CLOSED}/logs?api_key={PASSWORD}#token={PASSWORD}",
    "https": f"https://{CLOSED}/logs?api_key={PASSWORD}",
    "kafka": f"kafka://{CLOSED}/topic?group=g&token={PASSWORD}",
    "mongodb": f"mongodb://{CLOSED}/shop.products?serverSelectionTimeoutMS=100",
    "mongodb+srv": f"mongodb+srv://ada:{PASSWORD}@shop.invalid/shop.products?serverSelectionTimeoutMS=100",
    "pubsub": f"pubsub://{CLOSED}/projects/p/topics/t?token={PASSWORD}",
    "s3": f"s3://ada:{PASSWORD}@bucket/files",
}
WAREHOUSE_ADDRESSES = {
    "bigquery": f"bigquery://ada:{PASSWORD}@project/dataset?token={PASSWORD}",
    "postgresql": f"postgresql://{CLOSED}/shop?connect_timeout=2",
    "snowflake": f"snowflake://ada:{PASSWORD}@account/db/schema?password={PASSWORD}",
}
STORES = [f"s3://ada:{PASSWORD}@bucket/x", f"gs://ada:{PASSWORD}@bucket/x", f"ftp://ada:{PASSWORD}@host/x"]

JOB = """
name: shop
contracts: {contracts}
route_by: event_type
source: {source}
files: {files}
warehouse: {warehouse}
dead_letters: {dead_letters}
"""
ROOT = Path(__file__).parents[2]


def keys(folder: Path, **addresses: str) -> dict[str, str]:
    return {
        "contracts": str(ROOT / "schemas/backend_events"),
        "source": str(ROOT / "examples/backend_events/history/*"),
        "files": str(folder / "files"),
        "warehouse": f"duckdb:///{folder}/w.duckdb",
        "dead_letters": str(folder / "dead_letters"),
    } | addresses


CASES = [
    *(
        (command, {"source": address})
        for command in ("run", "publish", "check")
        for address in SOURCE_ADDRESSES.values()
    ),
    *(
        (command, {"warehouse": address})
        for command in ("run", "load", "tables", "redeliver", "check", "verify")
        for address in WAREHOUSE_ADDRESSES.values()
    ),
    *(
        (command, {key: store})
        for command in ("run", "load", "redeliver", "check", "verify")
        for key in ("files", "dead_letters")
        for store in STORES
    ),
    *(
        (command, {"address": address})
        for command in ("sources", "warehouses", "report")
        for address in [*SOURCE_ADDRESSES.values(), *STORES]
    ),
    *((command, {"misspelt": f"--sorce=kafka://{CLOSED}/topic"}) for command in ("run", "generate")),
]
FLAGS = {
    "publish": ["--generate", "--count=1"],
    "tables": ["--diff"],
    "redeliver": ["--dry-run"],
}


def test_every_command_and_connector_is_tried() -> None:
    assert {command for command, _ in CASES} == {command.name for command in COMMANDS}
    local = {
        scheme for scheme, connector in {**SOURCES, **WAREHOUSES}.items() if connector.has_authority is False
    }
    assert {*SOURCE_ADDRESSES, *WAREHOUSE_ADDRESSES} >= {*SOURCES, *WAREHOUSES} - local


@pytest.mark.parametrize(
    ("command", "given"),
    CASES,
    ids=lambda part: part if isinstance(part, str) else "=".join(*part.items()).replace(PASSWORD, "PASSWORD"),
)
def test_password_is_not_printed(
    command: str,
    given: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    job = tmp_path / "job.yaml"
    if "address" in given:
        arguments = [command, given["address"]]
    else:
        job.write_text(
            JOB.format(**keys(tmp_path, **{key: value for key, value in given.items() if key != "misspelt"}))
        )
        arguments = [command, str(job), *FLAGS.get(command, [])] if command != "generate" else [command]
        arguments += [given["misspelt"]] if "misspelt" in given else []
    try:
        main(arguments)
    except SystemExit:
        pass
    printed = "".join(capfd.readouterr())
    assert printed
    assert PASSWORD not in printed
    assert "Traceback" not in printed
