"""Fills topics: with the backlog of a history, or with events of now at a steady rate.

`python -m benchmarks.kafka_feed BROKER TOPIC RATE SECONDS CONTRACTS LATE` publishes at a steady rate, from a process of
its own, events of a folder of contracts; their times are at most LATE seconds ago.
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
SENT_AT = "sent_at"
"""The last property of contracts whose events are late: when an event was published."""
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


def publish(broker: str, topic: str, rate: int, seconds: float, contracts: str, late: float) -> None:
    """Publish events of `contracts`, 2% of them broken and 5% repeated, `rate` a second, at most `late` seconds old."""
    chance = random.Random(1)
    made = fake_events(load_contracts(contracts), "event_type", lambda: 0.5, 1)
    templates = [_Template(next(made)) for _ in range(_TEMPLATES)]
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
                record = last = templates[number % _TEMPLATES].at(now - late * chance.random(), now)
            _send(sender, topic, record, number, int(now * 1000))
            sent = number
        sender.poll(0)
        time.sleep(max(0.0, begun + sent / rate - time.monotonic()))
    sender.flush()


class _Template:
    """An event without its times."""

    def __init__(self, event: bytes) -> None:
        """Cut the times, all those of the clock at 0.5, out of `event`."""
        zero = b"1970-01-01T00:00:00.500000Z"
        before, self._key, after = event.partition(b'"%s":"' % SENT_AT.encode())
        self._parts = before.split(zero)
        self._end = after.removeprefix(zero)

    def at(self, event_time: float, sent_at: float) -> bytes:
        """Return the event of a time, with the time at which it is published if it has a place for that."""
        event = _timestamp(event_time).join(self._parts)
        return event + self._key + _timestamp(sent_at) + self._end if self._key else event


def _timestamp(seconds: float) -> bytes:
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")
    return text.replace("+00:00", "Z").encode()


if __name__ == "__main__":
    publish(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), sys.argv[5], float(sys.argv[6]))
