"""Records of a shop, some broken and some repeated, and a thread that publishes them at a steady rate."""

from __future__ import annotations

import random
import threading
import time

from sluice.contracts import load_contracts
from sluice.tooling.fake_events import fake_events

from devservers.tools import ROOT
from devservers.topic import Topic

_RECENT = 1000
"""Events from which the repeated ones are taken."""

_BROKEN = (b'{"event_type": "order", "n": %d}', b'{"event_type": "refund", "n": %d}', b"not json %d")


class RecordFeed:
    """Makes records, and remembers what each of them has to become: event, dead letter or duplicate."""

    def __init__(self, seed: int, broken: float = 0.02, duplicates: float = 0.05, ahead: float = 0.0) -> None:
        """`broken` and `duplicates` are shares of all records; events are `ahead` of the clock by so many seconds."""
        self._random = random.Random(seed)
        self._broken_share, self._duplicate_share = broken, duplicates
        contracts = load_contracts(str(ROOT / "schemas/backend_events"))
        self._events = fake_events(contracts, "event_type", lambda: time.time() + ahead, seed)
        self.events: list[bytes] = []
        self.broken: list[bytes] = []
        self.duplicates: list[bytes] = []

    def take(self, number: int) -> list[bytes]:
        """Return the next records."""
        return [self._next() for _ in range(number)]

    def _next(self) -> bytes:
        chance = self._random.random()
        if chance < self._broken_share:
            self.broken.append(self._random.choice(_BROKEN) % len(self.broken))
            return self.broken[-1]
        if chance < self._broken_share + self._duplicate_share and self.events:
            self.duplicates.append(self._random.choice(self.events[-_RECENT:]))
            return self.duplicates[-1]
        self.events.append(next(self._events))
        return self.events[-1]

    @property
    def published(self) -> int:
        """How many records were taken."""
        return len(self.events) + len(self.broken) + len(self.duplicates)

    @property
    def stored(self) -> int:
        """How many events and dead letters the records taken so far have to become."""
        return len(self.events) + len(self.broken)


class BackgroundPublisher:
    """Publishes a feed in a thread, at a steady rate, until the block ends."""

    def __init__(self, topic: Topic, feed: RecordFeed, rate: int) -> None:
        """`rate` is in records a second."""
        self._topic, self._feed, self._rate = topic, feed, rate
        self._stop = threading.Event()
        self._errors: list[Exception] = []
        self._thread = threading.Thread(target=self._publish, name="publisher", daemon=True)

    def __enter__(self) -> BackgroundPublisher:
        """Start."""
        self._thread.start()
        return self

    def _publish(self) -> None:
        try:
            while not self._stop.wait(0.1):
                self._topic.publish(self._feed.take(self._rate // 10))
        except Exception as error:  # noqa: BLE001  raised again at the end of the block
            self._errors.append(error)

    def __exit__(self, *_: object) -> None:
        """Stop; raise the error that ended the thread."""
        self._stop.set()
        self._thread.join()
        if self._errors:
            raise self._errors[0]
