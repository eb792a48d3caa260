"""Raw values and the key, looked for in everything that a job leaves: logs, tables, dead letters, reports, output."""

from __future__ import annotations

import hashlib
import hmac
import json
import pickle
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import apache_beam as beam
import duckdb
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from pyarrow import parquet
from sluice.clock import system_clock
from sluice.config.job import load_job
from sluice.contracts import load_contract
from sluice.dead_letters.envelope import dead_letter_contract, redelivery_contract
from sluice.dead_letters.log import DeadLetterLog
from sluice.elements import DEAD_LETTER, REDELIVERY, RecordBatch
from sluice.eventlog.log import EventLog
from sluice.eventlog.source_manifest import SourceManifest
from sluice.eventlog.type_log import TypeLog
from sluice.graph.acknowledge import CompleteAcks
from sluice.graph.build import build
from sluice.graph.decode import DecodeRecords
from sluice.graph.run_context import RunContext
from sluice.graph.shuffle import Spill
from sluice.graph.windowing import Windowing
from sluice.provenance import FileProvenance
from sluice.retry import RetryPolicy
from sluice.run_state import RunHandle
from sluice.storage import open_store
from sluice.validation.age_limits import AgeLimits
from sluice.warehouses import open_warehouse

from devservers.sluice_command import Finished, sluice
from tests.end_to_end.replay_fixture import lines_of, one_line

KEY = "the-key-of-the-test-that-must-not-be-found"
CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: shop-signup
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
      - {name: kind, logicalType: string, required: true, description: Always the same., enum: [{value: signup}]}
      - {name: plan, logicalType: string, description: What for., enum: [PLANS]}
      - name: email
        logicalType: string
        required: true
        description: Who.
        logicalTypeOptions: {pattern: "@"}
        classification: restricted
        customProperties: [{property: mask, value: hash}]
      - name: ip
        logicalType: string
        description: From where.
        classification: restricted
        customProperties: [{property: mask, value: truncate_ip}]
      - name: profile
        logicalType: object
        description: More.
        properties:
          - name: phone
            logicalType: string
            description: Number.
            classification: restricted
            customProperties: [{property: mask, value: drop}]
"""
RAW = ("ann.secret", "10.81.166.94", "secret-phone", "sixtytwo")
"""What stands in protected values alone, as a whole or as a part."""


def signup(number: int, **changes: Any) -> bytes:
    event = {
        "kind": "signup",
        "at": f"2025-02-08T13:09:{number:02d}Z",
        "email": f"ann.secret{number}@example.com",
        "ip": "10.81.166.94",
        "profile": {"phone": "secret-phone"},
        "plan": "free",
    }
    return json.dumps({**event, **changes}).encode()


SEARCHABLE = [
    signup(0),
    signup(0),
    signup(1, Email="ann.secret@other.com", nested={"phone": ["secret-phone"]}),
    signup(2, plan="gold"),
    signup(3, plan="gold", profile="secret-phone"),
    signup(4, email="ann.secret without"),
    signup(5, email={"of": "ann.secret"}),
    signup(6, kind="oops"),
    signup(7, kind={"email": "ann.secret"}),
    signup(8, at="never"),
    signup(9, at="2999-01-01T00:00:00Z"),
]
QUARANTINE = [
    b'{"kind":"signup","email":"ann.secret',
    b'\xff{"email":"ann.secret"}',
    b'["ann.secret"]',
    b'"sixtytwo"',
    signup(10, plan="gold")[:-1] + b',"email":"sixtytwo@example.com"}',
]


class Shop:
    def __init__(self, folder: Path, scratch: Path) -> None:
        self.folder, self.scratch = folder, scratch
        self.contract, self.job = folder / "in/signup.odcs.yaml", folder / "in/job.yaml"
        self.contract.parent.mkdir()
        (folder / "in/signups.ndjson").write_bytes(b"".join(line + b"\n" for line in SEARCHABLE + QUARANTINE))
        self.job.write_text(
            f"name: shop\ncontracts: {self.contract}\nroute_by: kind\nsource: {folder}/in/signups.ndjson\n"
            f"files: {folder}/out/files\nwarehouse: duckdb:///{folder}/out/w.duckdb\n"
            f"dead_letters: {folder}/out/dead\n"
        )
        self.allow("free")

    def allow(self, *plans: str) -> None:
        self.contract.write_text(CONTRACT.replace("PLANS", ", ".join(f"{{value: {plan}}}" for plan in plans)))

    def sluice(self, command: str, *flags: str, code: int = 0, key: str = KEY) -> Finished:
        environment = {"TMPDIR": str(self.scratch), "SLUICE_PRIVACY_KEY": key}
        done = sluice(command, str(self.job), *flags, environment=environment)
        assert done.code == code, done.err[-3000:]
        return done

    def figures(self, command: str, *flags: str) -> tuple[int, ...]:
        """Run, look for what must not be seen, and return read, accepted, repeated, rejected."""
        page = f"--html={self.folder}/report.html"
        done = self.sluice(command, *flags, f"--report={self.folder}/report.json", page)
        assert_clean(done.out + done.err)
        self.search()
        report = (self.folder / "report.json").read_text()
        assert_clean(report)
        assert_clean((self.folder / "report.html").read_text())
        made = json.loads(report)
        assert made["reconciled"]
        return tuple(made[name] for name in ("read", "accepted", "duplicates", "rejected"))

    def search(self) -> None:
        """Look into every file of the job but those kept apart, and into every row of every table."""
        apart = self.folder / "out/dead/quarantine"
        files = [path for path in (self.folder / "out").rglob("*") if path.is_file()]
        for path in files:
            data = path.read_bytes()
            assert KEY.encode() not in data
            if not path.is_relative_to(apart):
                assert_clean(f"{path} {data.decode('latin-1')}")
        for path in files:
            if path.suffix == ".parquet":
                assert_clean(f"{path} {parquet.read_table(path).to_pylist()}")
        assert_clean(str(self.sql("from signups")) + str(self.sql("from dead_letters")))
        assert list(self.scratch.iterdir()) == []

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.folder / "out/w.duckdb"), read_only=True) as connection:
            return connection.execute(query).fetchall()

    def lines(self, below: str) -> list[dict[str, Any]]:
        paths = sorted((self.folder / "out" / below).rglob("*_2*.json"))
        return [json.loads(line) for path in paths for line in lines_of(path.read_bytes())]


def assert_clean(text: str) -> None:
    for raw in (*RAW, KEY):
        assert raw not in text, (raw, text[max(0, text.index(raw) - 200) :][:400])


def digest(value: str) -> str:
    return hmac.new(KEY.encode(), value.encode(), hashlib.sha256).hexdigest()


@pytest.fixture
def scratch() -> Iterator[Path]:
    with TemporaryDirectory(prefix="replay") as folder:
        yield Path(folder)


@pytest.fixture
def shop(tmp_path: Path, scratch: Path) -> Shop:
    return Shop(tmp_path, scratch)


def test_masked_values_leave_decode_and_masked_dead_letters_are_redelivered(shop: Shop) -> None:
    assert shop.figures("run") == (16, 2, 1, 13)
    assert (digest("ann.secret0@example.com"), "10.81.166.0", None) in shop.sql(
        "select email, ip, profile.phone from signups"
    )
    dead_letters = {dead_letter["source"]["offset"]: dead_letter for dead_letter in shop.lines("dead/2025")}
    assert shop.sql("select count(*) from dead_letters") == [(8,)]
    apart = shop.lines("dead/quarantine")
    assert sorted(dead_letter["code"] for dead_letter in apart) == [
        "enum",
        "not_an_object",
        "not_an_object",
        "not_json",
        "not_json",
    ]
    assert stat.S_IMODE((shop.folder / "out/dead/quarantine").stat().st_mode) == 0o700
    assert all("sixtytwo" not in json.dumps(dead_letter) for dead_letter in dead_letters.values())

    shop.allow("free", "gold")
    plan = shop.sluice("redeliver", "--dry-run").out
    assert "4 broke their contract in a masked value, which was not kept" in plan
    # signups 2 and 10 are accepted now; the others fail again
    assert shop.figures("redeliver") == (9, 2, 0, 7)
    assert shop.sql("select count(*), count(distinct email) from signups") == [(4, 4)]
    emails = {email for (email,) in shop.sql("select email from signups")}
    assert emails == {
        digest(email)
        for email in (
            "ann.secret0@example.com",
            "ann.secret1@example.com",
            "ann.secret2@example.com",
            "sixtytwo@example.com",
        )
    }
    assert shop.figures("run") == (16, 0, 5, 11)
    assert (
        sorted(entry["outcome"] for entry in shop.lines("dead/redelivery"))
        == ["accepted"] * 2 + ["rejected"] * 7
    )


def test_job_without_masking_key_does_not_start(shop: Shop) -> None:
    line = one_line(shop.sluice("run", code=2, key=""), code=2)
    assert line.startswith(
        "sluice: SLUICE_PRIVACY_KEY: expected the key that masks properties of the contracts"
    )
    assert not (shop.folder / "out").exists()
    assert "short-secret" not in one_line(shop.sluice("run", code=2, key="short-secret"), code=2)


def test_spilled_and_shuffled_data_contain_no_raw_value(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_PRIVACY_KEY", KEY)
    job = load_job(str(shop.job))
    contract, dead_letters = load_contract(str(shop.contract)), DeadLetterLog.at(job.dead_letters)
    (shop.folder / "spill").mkdir()
    warehouse = open_warehouse(job.warehouse)
    warehouse.prepare([contract, dead_letter_contract()])
    handle = RunHandle()
    run = RunContext(
        log=EventLog(open_store(job.files), {"signup": TypeLog.of(contract)}),
        dead_letters=dead_letters,
        warehouse=warehouse,
        tables={**job.contracts, DEAD_LETTER: dead_letter_contract(), REDELIVERY: redelivery_contract()},
        manifest=SourceManifest.at(job.files),
        ages=AgeLimits(600, 3600, system_clock()),
        event_windowing=Windowing(False, 1, 1),
        dead_letter_windowing=Windowing(False, 1, 1),
        totals_url=str(shop.folder / "totals"),
        clock=system_clock,
        retry=RetryPolicy(0),
        handle=handle,
        acknowledge=CompleteAcks(handle),
        spill=Spill(str(shop.folder / "spill")),
    )
    assert KEY.encode() not in pickle.dumps(
        DecodeRecords(job.contracts, job.route_by, run.ages, 1, None, None)
    ) + pickle.dumps(run)
    batch = RecordBatch(SEARCHABLE, FileProvenance("topic", system_clock(), range(len(SEARCHABLE))))
    pipeline = beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"]))
    build(pipeline | "Read" >> beam.Create([batch]), replace(job, name="shop"), run)
    assert KEY not in str(pipeline.to_runner_api())
    pipeline.run().wait_until_finish()
    (spilled,) = (path.read_bytes() for path in (shop.folder / "spill").iterdir())
    assert spilled.count(b'"}\n') >= 2
    assert_clean(spilled.decode("utf-8", "backslashreplace"))
