"""Files as a user has them, and the tables that two commands make of each: `sluice init`, and the run that it names."""

from __future__ import annotations

import io
import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import fastavro

SECOND = datetime(2025, 12, 31, 22, 59, 58, tzinfo=UTC)
LAST_DAY = date(2025, 12, 31)
ADDED = {
    "_extra": "JSON",
    "_event_id": "VARCHAR",
    "_segment_id": "VARCHAR",
    "_ingested_at": "TIMESTAMP WITH TIME ZONE",
    "event_date": "DATE",
}
"""The columns that every table has."""


@dataclass(frozen=True)
class OwnFile:
    """A file, and its table."""

    name: str
    """Of the job, and so of the table."""
    file: str
    content: bytes
    columns: dict[str, str]
    """Name -> type in DuckDB, without ADDED."""
    rows: list[tuple[Any, ...]]
    """Values of `columns`, and the day of the event; sorted."""


def table(folder: Path, name: str) -> tuple[dict[str, str], list[tuple[Any, ...]]]:
    """Return the columns of the table of job `name` in a folder, and its rows, sorted, with the values of `OwnFile`."""
    with duckdb.connect(str(folder / f"out/{name}/warehouse.duckdb"), read_only=True) as connection:
        columns = {row[0]: row[1] for row in connection.sql(f"describe {name}").fetchall()}
        values = "* exclude (_extra, _event_id, _segment_id, _ingested_at)"
        rows = connection.sql(f"select {values} from {name} where _extra is null order by all").fetchall()
    return columns, rows


WEB = OwnFile(
    "web",
    "access.log.json",
    b"""
{"time":"2025-12-31T23:59:58+01:00","remote_addr":"203.0.113.7","request":"GET /shop?page=2 HTTP/1.1","status":200,\
"body_bytes_sent":5316,"request_time":0.004,"upstream_response_time":"0.003","http_referer":"https://example.com/",\
"http_user_agent":"Mozilla/5.0 (X11; Linux x86_64)"}
{"time":"2025-12-31T23:59:59+01:00","remote_addr":"2001:db8::17","request":"POST /orders HTTP/2.0","status":201,\
"body_bytes_sent":88,"request_time":1.250,"upstream_response_time":"0.600, 0.649","http_referer":"",\
"http_user_agent":"curl/8.5.0"}
{"time":"2026-01-01T01:00:00+01:00","remote_addr":"198.51.100.23","request":"GET /caf\\u00e9 HTTP/1.1","status":404,\
"body_bytes_sent":0,"request_time":0.000,"upstream_response_time":"-","http_referer":"",\
"http_user_agent":"Z\\u00fcrich \\"bot\\""}
""".lstrip(),
    {
        "time": "TIMESTAMP WITH TIME ZONE",
        "remote_addr": "VARCHAR",
        "request": "VARCHAR",
        "status": "BIGINT",
        "body_bytes_sent": "BIGINT",
        "request_time": "DECIMAL(38,9)",
        "upstream_response_time": "VARCHAR",
        "http_referer": "VARCHAR",
        "http_user_agent": "VARCHAR",
    },
    [
        (SECOND, "203.0.113.7", "GET /shop?page=2 HTTP/1.1", 200, 5316, Decimal("0.004"), "0.003",
         "https://example.com/", "Mozilla/5.0 (X11; Linux x86_64)", LAST_DAY),
        (SECOND.replace(second=59), "2001:db8::17", "POST /orders HTTP/2.0", 201, 88, Decimal("1.25"), "0.600, 0.649",
         "", "curl/8.5.0", LAST_DAY),
        (datetime(2026, 1, 1, tzinfo=UTC), "198.51.100.23", "GET /café HTTP/1.1", 404, 0, Decimal(0), "-", "",
         'Zürich "bot"', date(2026, 1, 1)),
    ],
)  # fmt: skip
"""The access log of nginx with `escape=json`."""

IOT = OwnFile(
    "iot",
    "readings.ndjson",
    b"""
{"measured_at":"2025-12-31T22:59:30.250Z","device":{"id":"greenhouse-1","firmware":"2.10","position":{"lat":52.520008,"lon":13.404954}},"readings":[{"sensor":"temperature","value":21.5,"raw":[214,215,216]},{"sensor":"humidity","value":40,"raw":[40]}],"battery":{"percent":97,"charging":false}}
{"measured_at":"2025-12-31T22:59:31Z","device":{"id":"greenhouse-2","firmware":"2.9","position":{"lat":-33.8688,"lon":151.2093}},"readings":[],"battery":{"percent":9,"charging":true}}
{"measured_at":"2025-12-31T23:00:00.001Z","device":{"id":"greenhouse-1","firmware":"2.10","position":null},"readings":[{"sensor":"temperature","value":-0.125,"raw":[]}],"battery":{"percent":96}}
""".lstrip(),
    {
        "measured_at": "TIMESTAMP WITH TIME ZONE",
        "device": 'STRUCT(id VARCHAR, firmware VARCHAR, "position" STRUCT(lat DECIMAL(38,9), lon DECIMAL(38,9)))',
        "readings": 'STRUCT(sensor VARCHAR, "value" DECIMAL(38,9), raw BIGINT[])[]',
        "battery": 'STRUCT("percent" BIGINT, charging BOOLEAN)',
    },
    [
        (
            datetime(2025, 12, 31, 22, 59, 30, 250_000, UTC),
            {
                "id": "greenhouse-1",
                "firmware": "2.10",
                "position": {"lat": Decimal("52.520008"), "lon": Decimal("13.404954")},
            },
            [
                {"sensor": "temperature", "value": Decimal("21.5"), "raw": [214, 215, 216]},
                {"sensor": "humidity", "value": Decimal(40), "raw": [40]},
            ],
            {"percent": 97, "charging": False},
            LAST_DAY,
        ),
        (
            datetime(2025, 12, 31, 22, 59, 31, tzinfo=UTC),
            {
                "id": "greenhouse-2",
                "firmware": "2.9",
                "position": {"lat": Decimal("-33.8688"), "lon": Decimal("151.2093")},
            },
            [],
            {"percent": 9, "charging": True},
            LAST_DAY,
        ),
        (
            datetime(2025, 12, 31, 23, 0, 0, 1_000, UTC),
            {"id": "greenhouse-1", "firmware": "2.10", "position": None},
            [{"sensor": "temperature", "value": Decimal("-0.125"), "raw": []}],
            {"percent": 96, "charging": None},
            LAST_DAY,
        ),
    ],
)
"""Readings of sensors, nested two deep; a position is unknown, a member is missing, arrays are empty."""

PAYMENTS = OwnFile(
    "payments",
    "payments.ndjson",
    b"""
{"payment_id":"018f4e6a-7d2c-7b11-9c55-3f0d6b1e2a01","created_at":"2025-12-31T23:59:59.999999Z","amount":12345678901234567.89,"currency":"EUR","fee":0.10,"refunded":false,"iban":"DE02120300000000202051","reference":"00042","value_date":"2026-01-02"}
{"payment_id":"018f4e6a-7d2c-7b11-9c55-3f0d6b1e2a02","created_at":"2025-12-31T23:59:59Z","amount":500,"currency":"JPY","fee":0,"refunded":true,"iban":"DE02120300000000202051","reference":"00043","value_date":"2026-01-02"}
{"payment_id":"018f4e6a-7d2c-7b11-9c55-3f0d6b1e2a03","created_at":"2026-01-01T00:00:00+05:30","amount":-12.345,"currency":"KWD","fee":0.005,"refunded":false,"iban":null,"reference":"00044","value_date":"2026-01-05"}
""".lstrip(),
    {
        "payment_id": "UUID",
        "created_at": "TIMESTAMP WITH TIME ZONE",
        "amount": "DECIMAL(38,9)",
        "currency": "VARCHAR",
        "fee": "DECIMAL(38,9)",
        "refunded": "BOOLEAN",
        "iban": "VARCHAR",
        "reference": "VARCHAR",
        "value_date": "DATE",
    },
    [
        (uuid.UUID("018f4e6a-7d2c-7b11-9c55-3f0d6b1e2a01"), datetime(2025, 12, 31, 23, 59, 59, 999_999, UTC),
         Decimal("12345678901234567.89"), "EUR", Decimal("0.1"), False, "DE02120300000000202051", "00042",
         date(2026, 1, 2), LAST_DAY),
        (uuid.UUID("018f4e6a-7d2c-7b11-9c55-3f0d6b1e2a02"), datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC),
         Decimal(500), "JPY", Decimal(0), True, "DE02120300000000202051", "00043", date(2026, 1, 2), LAST_DAY),
        (uuid.UUID("018f4e6a-7d2c-7b11-9c55-3f0d6b1e2a03"), datetime(2025, 12, 31, 18, 30, tzinfo=UTC),
         Decimal("-12.345"), "KWD", Decimal("0.005"), False, None, "00044", date(2026, 1, 5), LAST_DAY),
    ],
)  # fmt: skip
"""Payments in currencies of no, two and three decimals; an amount that no float holds."""

SALES = OwnFile(
    "sales",
    "verkauf.csv",
    "\r\n".join(
        [
            "Rechnungs-Nr.;Kunde;PLZ;Menge;Betrag (€);Rabatt %;Rechnungsdatum;Bezahlt am;Gebucht am",
            "2025001;Müller & Söhne;01067;3;3.703,50;2,5;31.12.2025;02.01.2026;31.12.2025 22:59:58",
            '2025002;"Groß; Handel";10115;1;0,99;0;31.12.2025;;31.12.2025 22:59:58',
            "2025003;Çelik;80331;12;-120,00;10;01.12.2025;31.12.2025;1.1.2026 0:00:00",
            "",
        ]
    ).encode("cp1252"),
    {
        "rechnungs_nr": "BIGINT",
        "kunde": "VARCHAR",
        "plz": "VARCHAR",
        "menge": "BIGINT",
        "betrag": "DECIMAL(38,9)",
        "rabatt": "DECIMAL(38,9)",
        "rechnungsdatum": "DATE",
        "bezahlt_am": "DATE",
        "gebucht_am": "TIMESTAMP WITH TIME ZONE",
    },
    [
        (2025001, "Müller & Söhne", "01067", 3, Decimal("3703.5"), Decimal("2.5"), LAST_DAY, date(2026, 1, 2), SECOND,
         LAST_DAY),
        (2025002, "Groß; Handel", "10115", 1, Decimal("0.99"), Decimal(0), LAST_DAY, None, SECOND, LAST_DAY),
        (2025003, "Çelik", "80331", 12, Decimal(-120), Decimal(10), date(2025, 12, 1), LAST_DAY,
         datetime(2026, 1, 1, tzinfo=UTC), date(2026, 1, 1)),
    ],
)  # fmt: skip
"""A table as a German Excel saves it: Windows-1252, semicolons, decimal commas, the day first."""


def _avro() -> bytes:
    schema = {
        "type": "record",
        "name": "Order",
        "namespace": "shop",
        "fields": [
            {"name": "order_id", "type": {"type": "string", "logicalType": "uuid"}},
            {"name": "placed_at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
            {"name": "ship_on", "type": ["null", {"type": "int", "logicalType": "date"}], "default": None},
            {
                "name": "total",
                "type": {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 2},
            },
            {
                "name": "tax",
                "type": {
                    "type": "fixed",
                    "name": "Tax",
                    "size": 8,
                    "logicalType": "decimal",
                    "precision": 18,
                    "scale": 4,
                },
            },
            {"name": "status", "type": {"type": "enum", "name": "Status", "symbols": ["OPEN", "PAID"]}},
            {
                "name": "items",
                "type": {
                    "type": "array",
                    "items": {
                        "type": "record",
                        "name": "Item",
                        "fields": [{"name": "sku", "type": "string"}, {"name": "pieces", "type": "int"}],
                    },
                },
            },
            {"name": "weight", "type": "double"},
        ],
    }
    names = ("order_id", "placed_at", "ship_on", "total", "tax", "status", "items", "weight")
    file = io.BytesIO()
    fastavro.writer(file, schema, [dict(zip(names, row, strict=False)) for row in _ORDERS], codec="deflate")
    return file.getvalue()


_ORDERS = [
    (uuid.UUID("018f4e6a-7d2c-7b11-9c55-3f0d6b1e2a01"), datetime(2025, 12, 31, 23, 59, 59, 999_999, UTC),
     date(2026, 1, 2), Decimal("123456789012345678.12"), Decimal("0.0001"), "PAID", [{"sku": "A-1", "pieces": 2}], 0.5,
     LAST_DAY),
    (uuid.UUID("018f4e6a-7d2c-7b11-9c55-3f0d6b1e2a02"), datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC), None,
     Decimal(-5), Decimal(19), "OPEN", [], 2.0, LAST_DAY),
    (uuid.UUID("018f4e6a-7d2c-7b11-9c55-3f0d6b1e2a03"), datetime(2026, 1, 1, 0, 0, 0, 1, UTC), date(1969, 12, 31),
     Decimal(0), Decimal(0), "OPEN", [{"sku": "B-2", "pieces": 1}, {"sku": "A-1", "pieces": 7}], 1e-7,
     date(2026, 1, 1)),
]  # fmt: skip
"""Values of the fields, and the day of the event."""

ORDERS = OwnFile(
    "orders",
    "orders.avro",
    _avro(),
    {
        "order_id": "UUID",
        "placed_at": "TIMESTAMP WITH TIME ZONE",
        "ship_on": "DATE",
        "total": "DECIMAL(38,9)",
        "tax": "DECIMAL(38,9)",
        "status": "VARCHAR",
        "items": "STRUCT(sku VARCHAR, pieces BIGINT)[]",
        "weight": "DOUBLE",
    },
    _ORDERS,
)
"""An export of a table: decimals as bytes and of a fixed size, microseconds, days before 1970, a union with null."""

OWN_FILES = [WEB, IOT, PAYMENTS, SALES, ORDERS]
