"""`sluice init` on samples as the public has them: exact types, and a project that accepts all of them at once."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest
from sluice.cli.main import main
from sluice.config.job import load_job
from sluice.contracts import Contract, Property, load_contracts, path_text, walk

from tests.cli.public_samples import (
    avro_export,
    german_csv,
    iot_readings,
    ndjson,
    payments,
    times,
    web_server_events,
)

WEB = {
    "event": "string = error",
    "request_id": "uuid",
    "timestamp": "timestamp",
    "client_ip": "string",
    "method": "string = GET, POST",
    "path": "string",
    "status": "integer",
    "bytes": "integer",
    "referrer": "string?",
}
SAMPLES: dict[str, tuple[str, bytes, dict[str, dict[str, str]]]] = {
    "web": (
        "access.ndjson",
        web_server_events(),
        {
            "error": {**WEB, "message": "string", "stack": "array", "stack[]": "string = app.py:1, db.py:2"},
            "request": {**WEB, "event": "string = request", "seconds": "float", "cached": "boolean"},
        },
    ),
    "iot": (
        "readings.json",
        iot_readings(),
        {
            "iot": {
                "device": "object",
                "device.id": "string",
                "device.position": "object",
                "device.position.lat": "decimal",
                "device.position.lon": "decimal",
                "readings": "array",
                "readings[]": "object",
                "readings[].name": "string = humidity, temperature",
                "readings[].value": "decimal",
                "readings[].unit": "string = %, C",
                "battery": "object",
                "battery.percent": "integer",
                "battery.charging": "boolean?",
                "measured_at": "timestamp",
                "valid_until": "timestamp",
            }
        },
    ),
    "payments": (
        "payments.ndjson",
        payments(),
        {
            "payments": {
                "payment_id": "uuid",
                "amount": "decimal",
                "currency": "string = EUR, USD",
                "account": "string",
                "fee": "decimal",
                "booked_on": "date",
                "created_at": "timestamp",
            }
        },
    ),
    "sales": (
        "verkauf.csv",
        german_csv(),
        {
            "sales": {
                "beleg_nr": "integer",
                "kunde": "string",
                "plz": "string",
                "menge": "integer",
                "betrag_eur": "decimal",
                "groesse": "decimal",
                "bezahlt": "string = ja, nein",
                "datum": "date",
                "gebucht_am": "timestamp",
            }
        },
    ),
    "stock": (
        "stock.avro",
        avro_export(),
        {
            "stock": {
                "stock_id": "uuid",
                "changed_at": "timestamp",
                "price": "decimal",
                "counted_on": "date",
                "quantity": "integer?",
                "shelf": "object",
                "shelf.row": "integer",
                "checksum": "string",
            }
        },
    ),
}
EXPECTED_SETTINGS = {
    "web": {"error": ("timestamp", "request_id"), "request": ("timestamp", "request_id")},
    "iot": {"iot": ("measured_at", None)},
    "payments": {"payments": ("created_at", "payment_id")},
    "sales": {"sales": ("gebucht_am", None)},
    "stock": {"stock": ("changed_at", "stock_id")},
}


def types(contract: Contract) -> dict[str, str]:
    return {path_text(path): described(prop) for path, prop in walk(contract.properties)}


def described(prop: Property) -> str:
    values = f" = {', '.join(map(str, prop.enum))}" if prop.enum else ""
    return f"{prop.type}{values}{'' if prop.required else '?'}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_give_exact_types_and_a_project_that_accepts_them(
    name: str, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file, content, expected = SAMPLES[name]
    (folder / file).write_bytes(content)
    assert main(["init", name, "--from", file, "--yes"]) == 0
    assert capfd.readouterr().out.splitlines()[-1] == f"now run: sluice run jobs/{name}.yaml"

    contracts = load_contracts(f"schemas/{name}")
    assert {event_type: types(contract) for event_type, contract in contracts.items()} == expected
    assert {
        event_type: (
            contract.event_time,
            next((prop.name for prop in contract.properties if prop.unique), None),
        )
        for event_type, contract in contracts.items()
    } == EXPECTED_SETTINGS[name]

    assert main(["check"]) == 0
    assert main(["run", f"jobs/{name}.yaml", "--json"]) == 0
    report = json.loads(capfd.readouterr().out.removeprefix("schemas, jobs: no problems found\n"))
    number = {"web": 120, "iot": 60, "payments": 80, "sales": 40, "stock": 50}[name]
    assert (report["read"], report["accepted"], report["loaded"]) == (number, number, number)


def test_infer_prints_the_contract_of_standard_input(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = b'{"id": 1, "price": 1.50, "tags": [], "_id": 7}\n[1]\n{"id": 22, "price": 20, "tags": [], "_id": 8}\n'
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(text), isatty=lambda: False))
    assert main(["infer", "-", "--name", "offer", "--bounds"]) == 0
    assert (
        capfd.readouterr().out
        == """\
# Inferred from 2 records of -.
# The comment above each property says what it rests on: check them, they are guesses.
apiVersion: v3.2.0
kind: DataContract
id: offer
version: 1.0.0
status: draft
domain: offer
schema:
  - name: offer
    physicalName: offer
    logicalType: object
    description: Offer records.
    # Event time: none; events are placed by their arrival
    # Identity: id
    customProperties:
      - {property: identity, value: properties}
    properties:
      # 2 integers, 1 to 22; in all 2
      - name: id
        logicalType: integer
        required: true
        unique: true
        description: Id.
        logicalTypeOptions: {minimum: 1, maximum: 22}
      # 2 numbers, exact, with at most 2 digits after the point; in all 2
      - name: price
        logicalType: number
        physicalType: DECIMAL(38,9)
        required: true
        description: Price.
        logicalTypeOptions: {minimum: 1.5, maximum: 20}
    # Left out of the contract, so these members are kept as they are, in _extra:
    #   tags: 2 arrays, all empty, so the type of their items is not known
    #   _id: names with an underscore at their beginning are reserved for Sluice
"""
    )


def test_questions_are_asked_on_a_terminal(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [
        {"kind": ("a", "b")[index % 2], ("left", "right")[index % 2]: 1, "id": f"x{index}", "made_at": f"{time:%FT%TZ}",
         "seen_at": f"{time:%FT%TZ}"}
        for index, time in enumerate(times(8))
    ]  # fmt: skip
    (folder / "in.ndjson").write_bytes(ndjson(records))
    answers = io.StringIO("color\nkind\nseen_at\n-\n\n\n")
    monkeypatch.setattr(answers, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", answers)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert main(["init", "things", "--from", "in.ndjson"]) == 0
    assert [
        (contract.event_type, contract.event_time, contract.identity)
        for contract in load_contracts("schemas/things").values()
    ] == [("a", "seen_at", "content"), ("b", "made_at", "properties")]
    asked = capfd.readouterr().err
    assert asked.startswith(
        "Which property names the event type of a record? Each type gets a contract and a table.\n  kind; - for none\n"
        "[kind] expected one of kind, got 'color'\n[kind] a: which property is the time at which it happened?\n"
    )


def test_sample_project_shows_a_duplicate_and_a_rejected_record(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", "parcels"]) == 0
    assert main(["check"]) == 0
    capfd.readouterr()
    assert main(["run", "jobs/parcels.yaml", "--json"]) == 0
    report = json.loads(capfd.readouterr().out)
    assert [report[name] for name in ("read", "accepted", "duplicates", "rejected")] == [42, 40, 1, 1]
    assert len((folder / "README.md").read_text().splitlines()) == 6
    with duckdb.connect(str(folder / "out/parcels/warehouse.duckdb"), read_only=True) as connection:
        (weight,) = connection.sql("select typeof(weight_kg) from parcels limit 1").fetchall()
    assert weight == ("DECIMAL(38,9)",)


@pytest.mark.parametrize(
    ("job", "samples", "asked"),
    [
        ("shop", ["a.ndjson"], "SLUICE_SHOP_SOURCE to the address of the sample"),
        ("1shop", ["a.ndjson"], "SLUICE_1SHOP_SOURCE to the address of the sample"),
        ("web-shop.eu", ["[ab].ndjson"], "SLUICE_WEB_SHOP_EU_SOURCE to the address of the sample"),
        (
            "shop",
            ["a.ndjson", "b.ndjson"],
            "SLUICE_SHOP_SOURCE to one address of all samples, such as a pattern",
        ),
    ],
)
def test_variable_stands_for_an_address_with_a_secret(
    job: str,
    samples: list[str],
    asked: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for sample in ("a.ndjson", "b.ndjson"):
        (folder / sample).write_text('{"n":1,"at":"2025-02-08T13:09:30Z"}\n')
    # No address with a secret can be read without a server; test_samples.py says which have one.
    monkeypatch.setattr("sluice.tooling.inference.from_samples.has_secret", lambda _: True)
    assert main(["init", job, "--yes", "--from", *samples]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert f"set {asked}: it has a secret, which is in none of these files" in lines
    monkeypatch.setenv(asked.partition(" ")[0], "s3://bucket/[ab].ndjson")
    assert load_job(f"jobs/{job}.yaml").source.reveal() == "s3://bucket/[ab].ndjson"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["init", "a/b"], "NAME: expected letters, digits, '_', '-' and '.', at most 128, beginning with a letter or "
         "digit and not ending with a dot, got 'a/b'"),
        (["init", "x", "--from", "nothing.json"], "no file matches 'nothing.json'"),
        (["init", "x", "--from", "-", "in.csv"], "SAMPLE: expected - alone, got 2 samples"),
        (["init", "x", "--from", "in.csv"], "README.md: expected a folder without this file, got one; it is not "
         "overwritten"),
        (["infer", "empty.json"], "expected records that are JSON objects or rows of CSV, got none, and 0 others"),
        (["infer", "in.csv", "--route-by", "name"], "--route-by: expected a property that names an event type "
         "(letters, digits, '_', '-' and '.') in every record, at most 50 of them, got 'name' with 2 different "
         "values, such as 'Ann', 'Jo Ann'"),
        (["infer", "in.csv", "--event-time", "name"], "--event-time: expected a timestamp that is in every record, got "
         "'name'; no property is one"),
        (["infer", "in.csv", "--identity", "no"], "--identity: expected a property with another value in each record, "
         "got 'no'; no property is one"),
        (["infer", "in.csv", "in.csv", "nothing.json"], "no file matches 'nothing.json'"),
        (["infer", "in.csv", "mongodb://u:secret@127.0.0.1:1/shop.orders"], "SAMPLE: expected files, of which there "
         "may be several, or one source, got mongodb://127.0.0.1:1/shop.orders"),
        (["infer", "twice.csv"], "expected a header with one column of each name, got 'Sale ID' and 'sale_id'; rename "
         "one"),
        (["infer", "dead-letters:/x"], "SAMPLE: expected files, a topic or subscription, an API or a collection, got "
         "dead-letters:/x, which has records that contracts have rejected"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line_and_write_nothing(
    arguments: list[str], message: str, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "in.csv").write_text("name,no\nAnn,1\nJo Ann,1\n")
    (folder / "twice.csv").write_text("Sale ID,sale_id\n1,2\n")
    (folder / "empty.json").write_text("")
    (folder / "README.md").write_text("mine")
    assert main(arguments) != 0
    assert capfd.readouterr().err == f"sluice: {message}\n"
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "empty.json",
        "in.csv",
        "twice.csv",
    ]
