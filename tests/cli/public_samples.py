"""Samples as the public has them: events of a web server, readings of sensors, payments, sales, an export."""

from __future__ import annotations

import io
import json
import random
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import fastavro

RANDOM = random.Random(18)
START = datetime(2026, 3, 2, 8, tzinfo=UTC)


def times(number: int) -> list[datetime]:
    return [START + timedelta(seconds=index, milliseconds=index) for index in range(number)]


def uuids(number: int) -> list[str]:
    return [str(uuid.UUID(int=RANDOM.getrandbits(128), version=4)) for _ in range(number)]


def ndjson(records: Sequence[Mapping[str, Any]]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def web_server_events() -> bytes:
    """Two event types in one file, told apart by `event`; a duration in scientific notation."""
    records: list[dict[str, Any]] = []
    for index, (time, request) in enumerate(zip(times(120), uuids(120), strict=True)):
        event: dict[str, Any] = {
            "event": "request" if index % 3 else "error",
            "request_id": request,
            "timestamp": time.isoformat().replace("+00:00", "Z"),
            "client_ip": f"203.0.113.{index}",
            "method": ("GET", "POST")[index % 2],
            "path": f"/items/{index}",
            "status": (200, 404)[index % 2],
            "bytes": index * 1_000,
            "referrer": None if index % 4 else "https://example.com/",
        }
        if event["event"] == "error":
            event |= {"message": f"upstream {index} timed out", "stack": ["app.py:1", "db.py:2"]}
        else:
            event |= {"seconds": 1e-7 * (index + 1), "cached": index % 5 == 0}
        records.append(event)
    return ndjson(records)


def iot_readings() -> bytes:
    """A JSON array with readings nested two deep, one of them missing now and then."""
    return json.dumps(
        [
            {
                "device": {
                    "id": f"sensor-{index % 7}",
                    "position": {"lat": 52.5 + index / 1000, "lon": 13.4},
                },
                "readings": [
                    {"name": "temperature", "value": 20 + index / 10, "unit": "C"},
                    {"name": "humidity", "value": 40, "unit": "%"},
                ],
                "battery": {"percent": 100 - index, **({"charging": True} if index % 2 else {})},
                "measured_at": time.isoformat(),
                "valid_until": (time + timedelta(days=3650)).isoformat(),
            }
            for index, time in enumerate(times(60))
        ]
    ).encode()


def payments() -> bytes:
    """Amounts with two decimals, some of them whole; account numbers with zeros in front."""
    lines = []
    for index, (time, payment) in enumerate(zip(times(80), uuids(80), strict=True)):
        amount = f"{index * 7}.{index % 100:02}" if index % 3 else f"{index * 7}"
        lines.append(
            f'{{"payment_id":"{payment}","amount":{amount},"currency":"{("EUR", "USD")[index % 2]}",'
            f'"account":"{index:08}","fee":0.{index:03}0,"booked_on":"{time:%Y-%m-%d}","created_at":"{time:%FT%TZ}"}}'
        )
    return "\n".join(lines).encode()


def german_csv() -> bytes:
    """As a German Excel saves it: semicolons, decimal commas, points between thousands, dates with the day first."""
    rows = ["Beleg-Nr.;Kunde;PLZ;Menge;Betrag (EUR);Größe;Bezahlt;Datum;Gebucht am"]
    for index, time in enumerate(times(40)):
        rows.append(
            f"{1000 + index};Müller {index};{index:05};{index};{'1.2' if index % 2 else ''}{index:02},{index:02};"
            f"{index // 4},{index % 4 * 25:02};{('ja', 'nein')[index % 2]};{time:%d.%m.%Y};{time:%d.%m.%Y %H:%M}"
        )
    return "\r\n".join(rows).encode("cp1252")


def avro_export() -> bytes:
    """As an export of a table is: exact decimals, instants in microseconds, days, bytes, a union with null."""
    schema = {
        "type": "record",
        "name": "stock",
        "fields": [
            {"name": "stock_id", "type": {"type": "string", "logicalType": "uuid"}},
            {"name": "changed_at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
            {
                "name": "price",
                "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2},
            },
            {"name": "counted_on", "type": {"type": "int", "logicalType": "date"}},
            {"name": "quantity", "type": ["null", "long"]},
            {
                "name": "shelf",
                "type": {"type": "record", "name": "shelf", "fields": [{"name": "row", "type": "int"}]},
            },
            {"name": "checksum", "type": "bytes"},
        ],
    }
    rows = [
        {
            "stock_id": uuid.UUID(identity),
            "changed_at": time,
            "price": Decimal(index * 199) / 100,
            "counted_on": time.date(),
            "quantity": index if index % 3 else None,
            "shelf": {"row": index},
            "checksum": bytes([index]),
        }
        for index, (time, identity) in enumerate(zip(times(50), uuids(50), strict=True))
    ]
    file = io.BytesIO()
    fastavro.writer(file, schema, rows, codec="deflate")
    return file.getvalue()
