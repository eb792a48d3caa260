"""Dead letters that come back, through the real command: nothing lost, nothing doubled, nothing deleted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pytest
from sluice.elements import StepCounts
from sluice.graph.redelivery import _warn_of_rejected

from devservers.sluice_command import Finished, sluice
from tests.end_to_end.replay_fixture import lines_of, one_line

CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: shop-order
version: 1.0.0
status: active
domain: shop
name: Orders
schema:
  - name: order
    physicalName: order_events
    logicalType: object
    description: An order reached a status.
    customProperties:
      - {property: eventTime, value: at}
      - {property: identity, value: IDENTITY}
    properties:
      - {name: id, logicalType: integer, required: true, unique: UNIQUE, description: The order.}
      - {name: at, logicalType: timestamp, required: true, description: When.}
      - {name: status, logicalType: string, required: true, enum: [STATUSES], description: Which status.}
"""


class Shop:
    """A job with one contract of orders, which a test may change."""

    def __init__(self, folder: Path, scratch: Path, identity: str = "content") -> None:
        self.folder, self.scratch, self.identity = folder, scratch, identity
        self.contract, self.job = folder / "order.odcs.yaml", folder / "job.yaml"
        self.source = folder / "orders.ndjson"
        self.job.write_text(
            f"name: shop\ncontracts: {self.contract}\nsource: {self.source}\nfiles: {folder}/files\n"
            f"warehouse: duckdb:///{folder}/w.duckdb\ndead_letters: {folder}/dead\n"
        )
        self.allow("new", "paid")

    def allow(self, *statuses: str, file: Path | None = None) -> None:
        values = ", ".join(f"{{value: {status}}}" for status in statuses)
        text = CONTRACT.replace("STATUSES", values).replace("IDENTITY", self.identity)
        unique = str(self.identity == "properties").lower()
        (file or self.contract).write_text(text.replace("UNIQUE", unique))

    def send(self, *records: bytes) -> None:
        self.source.write_bytes(b"".join(record + b"\n" for record in records))

    def sluice(self, command: str, *flags: str, code: int = 0) -> Finished:
        done = sluice(command, str(self.job), *flags, environment={"TMPDIR": str(self.scratch)})
        assert done.code == code, done.err[-3000:]
        return done

    def figures(self, command: str, *flags: str) -> tuple[int, ...]:
        """Run, and return read, accepted, repeated, rejected, loaded; the report must balance."""
        report = self.folder / "report.json"
        self.sluice(command, *flags, f"--report={report}")
        made = json.loads(report.read_bytes())
        assert made["reconciled"]
        return tuple(made[name] for name in ("read", "accepted", "duplicates", "rejected", "loaded"))

    def files(self, *below: str) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for folder in below
            for path in sorted((self.folder / folder).rglob("*.json"))
            if path.name != "_log.json"
        }

    def dead_letters(self) -> list[dict[str, Any]]:
        return [json.loads(line) for data in self.files("dead/2025").values() for line in lines_of(data)]

    def redelivery_entries(self) -> list[dict[str, Any]]:
        contents = self.files("dead/redelivery").values()
        return [json.loads(line) for data in contents for line in lines_of(data)]

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.folder / "w.duckdb"), read_only=True) as connection:
            return connection.execute(query).fetchall()


def order(number: int, status: str = "paid") -> bytes:
    minute, second = divmod(number % 600, 60)
    return b'{"id":%d,"at":"2025-02-08T13:%02d:%02dZ","status":"%s"}' % (
        number,
        minute,
        second,
        status.encode(),
    )


@pytest.fixture
def scratch() -> Iterator[Path]:
    with TemporaryDirectory(prefix="replay") as folder:
        yield Path(folder)


@pytest.fixture
def shop(tmp_path: Path, scratch: Path) -> Shop:
    return Shop(tmp_path, scratch)


def test_new_enum_value_is_redelivered_after_its_contract_is_widened(shop: Shop) -> None:
    old, new = [order(n) for n in range(500)], [order(n, "gifted") for n in range(500, 1500)]
    shop.send(*old, *new, b"{")
    assert shop.figures("run") == (1501, 500, 0, 1001, 500)
    files = shop.files("dead/2025")

    dry = shop.sluice("redeliver", "--where", "code=enum,event_type=order", "--dry-run").out
    assert "shop: 1,000 dead letters to redeliver" in dry
    assert "│ enum │ order      │        1,000 │" in dry
    assert f"from: {shop.folder}/dead\nfiles: {shop.folder}/files\nwarehouse: duckdb:///" in dry
    assert not (shop.folder / "dead/redelivery").exists()

    shop.allow("new", "paid", "gifted")
    assert shop.figures("redeliver", "--where=code=enum", "--where=event_type=order") == (
        1000,
        1000,
        0,
        0,
        1000,
    )
    assert shop.sql("select count(*), count(distinct id) from order_events") == [(1500, 1500)]
    assert shop.sql("select sum(events) from event_counts") == [(1500,)]
    assert shop.files("dead/2025") == files
    assert Counter((entry["outcome"], entry["attempt"]) for entry in shop.redelivery_entries()) == {
        ("accepted", 2): 1000
    }
    assert {entry["letter_id"] for entry in shop.redelivery_entries()} == {
        dead_letter["letter_id"] for dead_letter in shop.dead_letters() if dead_letter["code"] == "enum"
    }

    everything = shop.files("files", "dead")
    again = shop.sluice("redeliver", "--where", "code=enum").out
    assert again.startswith("shop: no dead letters to redeliver\n1,000 were accepted before")
    assert shop.figures("redeliver", "--where", "code=enum") == (0, 0, 0, 0, 0)
    printed = json.loads(shop.sluice("redeliver", "--where", "code=enum", "--json").out)
    assert (printed["job"], printed["read"], printed["reconciled"]) == ("shop", 0, True)
    assert shop.figures("run") == (1501, 0, 1500, 1, 0)
    assert shop.files("files", "dead") == everything
    assert shop.sql("select count(*) from order_events") == [(1500,)]
    assert shop.sql("select code, count(*) from dead_letters group by 1 order by 1") == [
        ("enum", 1000),
        ("not_json", 1),
    ]


def test_record_rejected_again_stays_the_same_dead_letter_and_counts_attempts(shop: Shop) -> None:
    shop.send(order(1, "gifted"), order(2, "stolen"), b"[]")
    shop.sluice("run", code=1)
    dead_letters = shop.dead_letters()
    shop.allow("new", "paid", "gifted")
    assert shop.figures("redeliver") == (3, 1, 0, 2, 1)
    assert shop.figures("redeliver") == (2, 0, 0, 2, 0)
    assert shop.figures("redeliver", "--where=code=enum") == (1, 0, 0, 1, 0)
    assert shop.dead_letters() == dead_letters
    assert shop.sql("select count(*), count(distinct letter_id) from dead_letters") == [(3, 3)]
    stolen = next(
        dead_letter["letter_id"] for dead_letter in dead_letters if "stolen" in dead_letter["payload"]
    )
    assert [
        (entry["attempt"], entry["outcome"], entry["code"], entry["violations"][0]["expected"])
        for entry in shop.redelivery_entries()
        if entry["letter_id"] == stolen
    ] == [(n, "rejected", "enum", "one of new, paid, gifted") for n in (2, 3, 4)]
    shop.allow("new", "paid", "gifted", "stolen")
    assert shop.figures("redeliver", "--where=code=enum") == (1, 1, 0, 0, 1)
    assert (stolen, 5, "accepted") in [
        (entry["letter_id"], entry["attempt"], entry["outcome"]) for entry in shop.redelivery_entries()
    ]
    status = (
        "select status, attempts, last_redelivered_at = resolved_at from dead_letter_status order by 1, 2"
    )
    assert shop.sql(status) == [("redelivered", 3, None), ("resolved", 2, True), ("resolved", 5, True)]
    entries = "select letter_id, attempt, outcome from redeliveries order by all"
    loaded = shop.sql(entries)
    shop.sluice("load", f"--warehouse=duckdb:///{shop.folder}/rebuilt.duckdb")
    shop.sluice("verify")
    with duckdb.connect(str(shop.folder / "rebuilt.duckdb"), read_only=True) as rebuilt:
        assert rebuilt.execute(entries).fetchall() == loaded
    assert len(loaded) == 7


def test_redelivered_record_keeps_its_delivery_key(tmp_path: Path, scratch: Path) -> None:
    shop = Shop(tmp_path, scratch, identity="delivery")
    same = order(1, "gifted")
    shop.send(order(1), same, same)
    shop.sluice("run")
    shop.allow("new", "paid", "gifted")
    assert shop.figures("redeliver") == (2, 2, 0, 0, 2)
    assert shop.figures("run") == (3, 0, 3, 0, 0)
    stored = [json.loads(line)["_id"] for data in shop.files("files").values() for line in lines_of(data)]
    first, second = len(order(1)) + 1, len(order(1)) + len(same) + 2
    assert sorted(stored) == sorted(f"{shop.source}/{offset}" for offset in (0, first, second))


def test_contract_can_be_replaced_for_one_redelivery(shop: Shop) -> None:
    shop.send(order(1, "gifted"))
    shop.sluice("run", code=1)
    wider = shop.folder / "wider.odcs.yaml"
    shop.allow("new", "paid", "gifted", file=wider)
    assert shop.figures("redeliver", f"--set=contract={wider}") == (1, 1, 0, 0, 1)


def test_redelivered_record_whose_event_is_stored_is_a_duplicate(shop: Shop) -> None:
    shop.send(order(1, "gifted"))
    shop.sluice("run", code=1)
    shop.allow("new", "paid", "gifted")
    assert shop.figures("run") == (1, 1, 0, 0, 1)
    assert shop.figures("redeliver") == (1, 0, 1, 0, 0)
    assert [entry["outcome"] for entry in shop.redelivery_entries()] == ["accepted"]


def test_run_over_dead_letters_appends_no_redelivery_entries(shop: Shop) -> None:
    shop.send(order(1, "gifted"), order(2, "stolen"))
    shop.sluice("run", code=1)
    shop.allow("new", "paid", "gifted")
    elsewhere = f"--dead-letters={shop.folder}/dead/other"
    source = f"--source=dead-letters:{shop.folder}/dead?code=enum"
    assert shop.figures("run", source, elsewhere) == (2, 1, 0, 1, 1)
    assert shop.redelivery_entries() == []
    (second,) = (json.loads(line) for data in shop.files("dead/other").values() for line in lines_of(data))
    (first,) = (dead_letter for dead_letter in shop.dead_letters() if "stolen" in dead_letter["payload"])
    assert second["attempts"] == 2
    changed = ("rejected_at", "attempts", "violations")
    assert {k: v for k, v in second.items() if k not in changed} == {
        k: v for k, v in first.items() if k not in changed
    }


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (
            ["--where=colour=red"],
            "sluice: --where: expected NAME=VALUE with one of code, event_type, job, step, contract, got 'colour=red'",
        ),
        (
            ["--since=yesterday"],
            "sluice: --since: expected a time with its offset, such as 2025-02-08T13:09:00Z, got 'yesterday'",
        ),
        (
            ["--since=5"],
            "sluice: --since: expected a duration with its unit, such as 500ms, 10s, 5m, 2h or 7d, got '5'",
        ),
        (
            ["--set=name=x"],
            "sluice: --set: expected contract=FILE, got 'name'; other keys have flags of their own",
        ),
    ],
)
def test_mistake_in_flags_is_reported_in_one_line(shop: Shop, flags: list[str], line: str) -> None:
    assert one_line(shop.sluice("redeliver", *flags, code=2), code=2) == line


def test_redelivery_without_dead_letters_does_nothing(shop: Shop) -> None:
    line = f"sluice: {shop.folder}/dead: expected the dead letters of a job, got no _log.json"
    assert one_line(shop.sluice("redeliver", code=1)) == line


def test_report_of_nothing_opens_nothing(shop: Shop, tmp_path: Path) -> None:
    shop.send(order(1), order(2, "gifted"))
    shop.sluice("run")
    warehouse, page, report = tmp_path / "new.db", tmp_path / "report.html", tmp_path / "report.json"
    flags = ["--where=code=not_json", f"--warehouse=sqlite:///{warehouse}", "--runner=FlinkRunner"]
    done = shop.sluice("redeliver", *flags, f"--html={page}", f"--report={report}", "--json")
    assert json.loads(done.out) == (made := json.loads(report.read_bytes()))
    assert (made["job"], made["read"], made["reconciled"]) == ("shop", 0, True)
    assert (made["warnings"], made["failure"]) == ([], None)
    assert made["places"]["warehouse"] == f"sqlite:///{warehouse}"
    assert list(made["contracts"]) == ["order"]
    assert "shop" in page.read_text("utf-8")
    assert not warehouse.exists()
    assert not (tmp_path / "dead/redelivery").exists()
    assert shop.sluice("redeliver", *flags, f"--report={report}", "--quiet").out == ""
    assert json.loads(report.read_bytes())["read"] == 0


def test_since_selects_by_the_time_of_rejection(shop: Shop) -> None:
    shop.send(order(1, "gifted"))
    shop.sluice("run", code=1)
    assert "1 dead letters" in shop.sluice("redeliver", "--since=1h", "--dry-run").out
    assert "no dead letters" in shop.sluice("redeliver", "--since=2999-01-01T00:00:00Z", "--dry-run").out


@pytest.mark.parametrize(
    ("counts", "warnings"),
    [
        ({("loaded", "redelivery"): 7, ("load_rejected", "dead_letter"): 2}, []),
        (
            {
                ("loaded", "redelivery"): 7,
                ("load_rejected", "redelivery"): 2,
                ("backfill_rejected", "redelivery"): 3,
            },
            [
                "redeliveries: expected all entries of this redelivery in the table, got 5 that the warehouse "
                "rejected; they are in the redelivery log, and sluice load offers them to the table again"
            ],
        ),
    ],
)
def test_entries_that_the_warehouse_rejected_are_a_warning(
    caplog: pytest.LogCaptureFixture, counts: dict[tuple[str, str], int], warnings: list[str]
) -> None:
    _warn_of_rejected(StepCounts(counts), "redeliveries")
    assert [record.getMessage() for record in caplog.records] == warnings
