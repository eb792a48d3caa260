"""confluent-kafka alone: takes every record and drops it. The limit, not a competitor."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

from confluent_kafka import Consumer


def run(broker: str, topic: str, records: int, _flush: float, out: Path) -> None:
    """Drain a topic."""
    consumer = Consumer(
        {"bootstrap.servers": broker, "group.id": uuid.uuid4().hex, "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([topic])
    out.mkdir(parents=True)
    left = records
    while left > 0:
        messages = consumer.consume(10_000, 1.0)
        if messages and left == records:
            (out / "first").write_text(str(time.time()))
        left -= sum(message.error() is None for message in messages)
    consumer.close()
