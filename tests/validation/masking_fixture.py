"""A contract with masked properties, its events, and what becomes of rejected ones."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sluice.contracts import Contract, Property
from sluice.elements import RecordBatch, Rejected
from sluice.provenance import PartitionProvenance
from sluice.validation.age_limits import AgeLimits
from sluice.validation.records import RecordDecoder

KEY = b"a key that nobody must ever see"
SIGNUP = Contract(
    event_type="signup",
    table="signups",
    id="signup",
    version="1.0.0",
    domain="test",
    description="",
    properties=(
        Property("type", "string", required=True, enum=("signup",)),
        Property("at", "timestamp", required=True),
        Property("email", "string", required=True, pattern="@", mask="hash", aliases=("mail",)),
        Property("user_id", "uuid", unique=True, required=True, mask="hash"),
        Property("ip", "string", mask="truncate_ip"),
        Property("note", "string", mask="drop"),
        Property("plan", "string", enum=("free", "paid")),
        Property(
            "friends",
            "array",
            items=Property(
                "item",
                "object",
                required=True,
                properties=(Property("phone", "string", mask="hash"), Property("since", "integer")),
            ),
        ),
        Property("phones", "array", items=Property("item", "string", required=True, mask="hash")),
        Property("device", "object", properties=(Property("os", "string"),)),
        Property("details", "json"),
    ),
    event_time="at",
    identity="properties",
)
USER = "5F0C1D9E-0B1F-4C55-8D1E-00000000ABCD"
EVENT: dict[str, Any] = {
    "type": "signup",
    "at": "2025-02-08T13:09:30Z",
    "email": "ann@example.com",
    "user_id": USER,
}
STARTED = datetime(2025, 2, 8, 14, 0, tzinfo=UTC).timestamp()
RAW = ("ann@example.com", USER, USER.lower(), "10.81.166.94", "call me", "+371 2000")


def digest(value: str) -> str:
    return hmac.new(KEY, value.encode(), hashlib.sha256).hexdigest()


def line(**changes: Any) -> bytes:
    return json.dumps({**EVENT, **changes}, separators=(",", ":")).encode()


@cache
def decoder(done: frozenset[str] = frozenset()) -> RecordDecoder:
    return RecordDecoder({"signup": SIGNUP}, "type", AgeLimits(600, 3600, STARTED), 1, KEY, done)


def rejected(record: bytes, **attributes: str) -> Rejected:
    batch = RecordBatch(
        [record], PartitionProvenance("topic", STARTED, 0, [7], [STARTED], attributes=[attributes])
    )
    (result,) = decoder().decode(batch).rejected
    return result
