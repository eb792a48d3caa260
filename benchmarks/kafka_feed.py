"""Fills topics: with the backlog of a history, or with events of now at a steady rate.

`python -m benchmarks.kafka_feed BROKER TOPIC RATE SECONDS` publishes at a steady rate, from a process of its own.
"""

from __future__ import annotations

import random
import re
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from confluent_kafka import Producer
from sluice.contracts import load_contracts
from sluice.tooling.fake_events import fake_events

PARTITIONS = 2
_TIME = re.compile(rb'"(?:order_date|timestamp)": ?"([^"]+)"')
_BLOCK = 500
"""Records that go to one partition before the next."""
_HOUR = 3_600_000
_TEMPLATES = 20_000
_TICKS = 50
_BROKEN, _REPEATED = 0.02, 0.05


def producer(broker: str) -> Producer:
    """Return a producer that batches."""
    return Producer({"bootstrap.servers": broker, "linger.ms": 20, "compression.type": "lz4"})


def fill(broker: str, topic: str, history: Path) -> int:
    """Publish each line of `history` with the time of its event, as if it had waited in the topic; return how many."""
    sender = producer(broker)
    at = number = 0
    with history.open("rb") as file:
        for number, line in enumerate(file, 1):
            time_text = _TIME.search(line)
            at = _milliseconds(time_text[1], at) if time_text is not None else at
            _send(sender, topic, line.rstrip(b"\n"), number, at)
    sender.flush()
    return number


def _milliseconds(text: bytes, otherwise: int) -> int:
    try:
        time = datetime.fromisoformat(text.decode())
    except ValueError:
        return otherwise  # one of the broken events
    milliseconds = int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)
    is_near = abs(milliseconds - otherwise) < _HOUR
    return milliseconds if is_near or not otherwise else otherwise


def _send(sender: Producer, topic: str, record: bytes, number: int, at: int) -> None:
    while True:
        try:
            sender.produce(topic, record, partition=number // _BLOCK % PARTITIONS, timestamp=at)
        except BufferError:
            sender.poll(0.1)
        else:
            break
    if not number % _BLOCK:
        sender.poll(0)


def publish(broker: str, topic: str, rate: int, seconds: float) -> None:
    """Publish events of now, 2% of them broken and 5% repeated, `rate` a second."""
    chance = random.Random(1)
    made = fake_events(load_contracts("schemas/backend_events"), "event_type", lambda: 0.5, 1)
    zero = b"1970-01-01T00:00:00.500000Z"
    templates = [next(made).split(zero) for _ in range(_TEMPLATES)]
    sender, last = producer(broker), b""
    begun, sent = time.monotonic(), 0
    while (spent := time.monotonic() - begun) < seconds:
        for number in range(sent + 1, int(rate * (spent + 1 / _TICKS)) + 1):
            share, now = chance.random(), time.time()
            if share < _BROKEN:
                record = b'{"event_type":"order","n":%d}' % number
            elif share < _BROKEN + _REPEATED and last:
                record = last
            else:
                text = (
                    datetime.fromtimestamp(now, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
                )
                record = last = text.encode().join(templates[number % _TEMPLATES])
            _send(sender, topic, record, number, int(now * 1000))
            sent = number
        sender.poll(0)
        time.sleep(max(0.0, begun + sent / rate - time.monotonic()))
    sender.flush()


if __name__ == "__main__":
    publish(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
