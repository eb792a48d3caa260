"""Rows that a warehouse rejected, loaded by the real commands once it takes them: each once, as the figures say."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from sluice.cli.main import main
from sluice.contracts import load_contract
from sluice.dead_letters.envelope import dead_letter_contract
from sluice.warehouses import open_warehouse

from tests.warehouses.backends import Backend

CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: shop-KIND
version: 1.0.0
status: active
domain: shop
name: KIND
schema:
  - name: KIND
    physicalName: KIND_events
    logicalType: object
    customProperties:
      - {property: eventTime, value: at}
      - {property: identity, value: IDENTITY}
    properties:
      - {name: kind, logicalType: string, required: true, enum: [{value: KIND}]}
      - {name: at, logicalType: timestamp, required: true}
      - {name: number, logicalType: integer, required: true}
      - {name: note, logicalType: string, required: REQUIRED}
      - name: buyer
        logicalType: string
        classification: restricted
        customProperties: [{property: protect, value: hash}]
"""
IN_PROCESS = ("--runner=DirectRunner", "--direct_running_mode=in_memory")
KINDS = {"order": "export", "click": "delivery"}
"""Event type -> its deduplication key: both add a member to the line as it is stored."""


class Shop:
    """A job whose contracts are `strict` where they require a note, as a table may that its owner has changed."""

    def __init__(self, folder: Path, warehouse: str) -> None:
        self.folder, self.warehouse = folder, warehouse
        for name in ("strict", "loose"):
            for kind, identity in KINDS.items():
                text = CONTRACT.replace("KIND", kind).replace("IDENTITY", identity)
                file = folder / name / f"{kind}.odcs.yaml"
                file.parent.mkdir(exist_ok=True)
                file.write_text(text.replace("REQUIRED", str(name == "strict").lower()))
        self.job = folder / "job.yaml"
        self.job.write_text(
            f"name: shop\ncontracts: {folder}/loose\nroute_by: kind\nsource: {folder}/in.ndjson\n"
            f"files: {folder}/files\nwarehouse: duckdb:///{folder}/first.duckdb\ndead_letters: {folder}/dead\n"
        )

    @property
    def there(self) -> str:
        """The flag that names the warehouse."""
        return f"--warehouse={self.warehouse}"

    @property
    def strict(self) -> str:
        """The flag that names the contracts that reject rows."""
        return f"--contracts={self.folder}/strict"

    def prepare(self) -> None:
        """Make the tables as the loose contracts have them."""
        contracts = [load_contract(str(self.folder / f"loose/{kind}.odcs.yaml")) for kind in KINDS]
        open_warehouse(self.warehouse).prepare([*contracts, dead_letter_contract()])

    def figures(self, command: str, *flags: str) -> dict[str, Any]:
        report = self.folder / "report.json"
        report.unlink(missing_ok=True)
        assert main([command, str(self.job), "--quiet", f"--report={report}", *flags, *IN_PROCESS]) == 0
        made: dict[str, Any] = json.loads(report.read_bytes())
        assert made["reconciled"]
        return made

    def dead_letters(self) -> list[bytes]:
        """Return the lines of all dead letters."""
        files = sorted((self.folder / "dead").glob("2025/**/*.json"))
        return [line for file in files for line in file.read_bytes().splitlines()]

    def entries(self) -> Counter[tuple[str, int]]:
        lines = [
            json.loads(line)
            for file in (self.folder / "dead").glob("redelivery/**/redelivery_*.json")
            for line in file.read_bytes().splitlines()
        ]
        return Counter((line["outcome"], line["attempt"]) for line in lines)


def events(kind: str) -> list[str]:
    """Return nine events of three minutes, of which every second one has a note."""
    return [
        json.dumps(
            {
                "kind": kind,
                "at": f"2025-02-08T13:{10 + n % 3:02d}:{n:02d}Z",
                "number": n,
                "buyer": f"{kind}{n}@x.org",
                **({"note": "x"} if n % 2 else {}),
            }
        )
        for n in range(9)
    ]


@pytest.fixture
def shop(backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """Return a shop of whose 18 events a table has 8: it rejected those without a note."""
    monkeypatch.setenv("SLUICE_PRIVACY_KEY", "k" * 32)
    made = Shop(tmp_path, backend.url)
    (tmp_path / "in.ndjson").write_text("\n".join([*events("order"), *events("click")]))
    assert made.figures("run")["loaded"] == 18
    made.prepare()
    assert made.figures("load", made.there, made.strict)["backfilled"] == 8
    assert rows(backend) == {"order": 4, "click": 4}
    return made


def test_rejected_rows_come_in_by_either_command(
    backend: Backend, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    redelivered = shop.figures("redeliver", shop.there, "--where=event_type=order")
    assert (redelivered["read"], redelivered["accepted"], redelivered["backfilled"]) == (0, 0, 5)
    assert rows(backend) == {"order": 9, "click": 4}
    assert shop.entries() == {("accepted", 2): 5}
    assert (shop.figures("load", shop.there)["backfilled"], rows(backend)) == (5, {"order": 9, "click": 9})
    assert shop.figures("redeliver", shop.there)["backfilled"] == 0
    assert shop.entries() == {("accepted", 2): 10}
    assert main(["redeliver", str(shop.job), shop.there]) == 0
    assert "shop: no dead letters to redeliver\n10 were accepted before" in capsys.readouterr().out

    assert counts(backend) == {"order": 9, "click": 9}
    assert main(["verify", str(shop.job), shop.there]) == 0
    letters = open_warehouse(backend.url).row_counts(dead_letter_contract())
    assert sum(number for page in letters for _, number in page) == 10


@pytest.mark.parametrize("make_backend", ["duckdb"], indirect=True)
def test_rows_that_are_rejected_again_keep_their_dead_letters(
    backend: Backend, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    before = shop.dead_letters()
    main(["redeliver", str(shop.job), "--dry-run", shop.there])
    assert "shop: 10 dead letters to redeliver" in capsys.readouterr().out
    assert shop.figures("redeliver", shop.there, shop.strict)["backfilled"] == 0
    assert shop.figures("load", shop.there, shop.strict)["backfilled"] == 0
    assert (shop.entries(), shop.dead_letters()) == ({("rejected", 2): 10}, before)

    shutil.rmtree(shop.folder / "files/order/2025/02/08/13/11")
    without_clicks = f"--contracts={shop.folder}/loose/order.odcs.yaml"
    assert shop.figures("redeliver", shop.there, without_clicks)["backfilled"] == 4
    assert shop.entries() == {("rejected", 2): 10, ("rejected", 3): 6, ("accepted", 3): 4}
    assert (rows(backend), len(before)) == ({"order": 8, "click": 4}, 10)


def rows(backend: Backend) -> dict[str, int]:
    """Return how many rows each table has; no key twice."""
    numbers = {}
    for kind in KINDS:
        keys = backend.query(keys_of(backend, kind))
        numbers[kind] = len(keys)
        assert len(set(keys)) == len(keys)
    return numbers


def keys_of(backend: Backend, kind: str) -> str:
    condition = " WHERE at >= TIMESTAMP '2000-01-01'" if backend.url.startswith("bigquery:") else ""
    return f"SELECT _event_id FROM {kind}_events{condition}"


def counts(backend: Backend) -> dict[str, int]:
    counted = backend.query("SELECT event_type, sum(events) FROM event_counts GROUP BY event_type")
    return {kind: int(events) for kind, events in counted}
