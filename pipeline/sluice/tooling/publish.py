"""Publish records of files, or generated events, to a topic at a steady rate; for load tests and demonstrations."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice, repeat
from typing import Any, Protocol

from sluice.clock import system_clock
from sluice.config.job import Job
from sluice.config.urls import Url
from sluice.errors import ConfigError, PublishError
from sluice.sources import open_source
from sluice.sources.files.listing import find_files
from sluice.sources.files.source import FileSource, plan_reading, read_item
from sluice.sources.kafka.connector import KafkaConnector
from sluice.sources.pubsub.connector import PubSubConnector
from sluice.tooling.fake_events import fake_events

_RATE = re.compile(r"(\d+)/s")
_TICKS = 20
"""Portions of a second's records; each is sent at once."""

_FLUSH_SECONDS = 60.0

_LARGEST_RECORD = 1_000_000_000
"""The client's own limit; the broker's is lower, and is the one that counts."""


class Publisher(Protocol):
    """Sends records to a topic."""

    def publish(self, record: bytes) -> None:
        """Send a record soon; wait if too many are on their way."""
        ...

    def flush(self) -> None:
        """Wait until all that was published has arrived.

        Raises:
            PublishError: some of it did not; how many, and why.

        """
        ...


def publish(  # noqa: PLR0913  each is one flag of the command
    job: Job,
    *,
    to: Url | None = None,
    source: str | None = None,
    rate: float | None = None,
    loop: bool = False,
    count: int | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Publish records to the topic that `job` reads, or to the one at `to`; return how many.

    Args:
        job: its source names the topic; its contracts are what events are made from.
        to: `kafka://host:9092/topic` or `pubsub://projects/P/topics/T`.
        source: files whose records are sent as they are; None makes events of the job's contracts, of now.
        rate: records a second; None is as fast as it goes.
        loop: begin again when the source ends.
        count: end after so many records.
        on_progress: called now and then with the number of records sent so far.

    Raises:
        ConfigError: there is nothing that can be published to.
        PublishError: not everything arrived.

    """
    publisher = open_publisher(to or job.source)
    if source is None:
        records = fake_events(job.contracts, job.route_by, system_clock)
    else:
        history = source
        records = chain.from_iterable(_history(history) for _ in (repeat(0) if loop else range(1)))
    sent = 0
    try:
        for portion in _paced(islice(records, count), rate):
            for record in portion:
                publisher.publish(record)
            sent += len(portion)
            on_progress(sent)
    finally:
        publisher.flush()
    return sent


def parse_rate(text: str) -> float:
    """Return records a second of `text`, such as 500/s."""
    match = _RATE.fullmatch(text)
    if match is None or not int(match[1]):
        message = f"--rate: expected records a second, such as 500/s, got {text!r}"
        raise ConfigError(message)
    return float(match[1])


def _history(source: str) -> Iterator[bytes]:
    files = open_source(Url(source, where="--source"))
    if not isinstance(files, FileSource):
        message = f"--source: expected files, got {Url(source)}"
        raise ConfigError(message)
    for item in plan_reading(find_files(files.url)):
        for batch in read_item(item):
            yield from batch.records


def _paced(records: Iterable[bytes], rate: float | None) -> Iterator[list[bytes]]:
    """Yield records in portions, `rate` of them a second; late portions follow at once."""
    waiting = iter(records)
    size = 1000 if rate is None else max(round(rate / _TICKS), 1)
    begun, sent = time.monotonic(), 0
    while portion := list(islice(waiting, size)):
        if rate is not None:
            time.sleep(max(begun + sent / rate - time.monotonic(), 0))
        yield portion
        sent += len(portion)


class KafkaPublisher:
    """Sends to a topic of Kafka; connection settings from the environment, as the source's."""

    def __init__(self, url: Url) -> None:
        """Connect to the brokers of `url`."""
        connector = KafkaConnector.parse(url, group="sluice-publish")
        connector.check_client()
        from confluent_kafka import Producer

        from sluice.sources.kafka.client import client_settings

        topic = connector.topic
        self._topic = topic.name
        settings: dict[str, Any] = {"enable.idempotence": True, "linger.ms": 20, "compression.type": "lz4"}
        settings["message.max.bytes"] = _LARGEST_RECORD
        self._producer = Producer({**client_settings(topic), **settings})
        self._failures: list[str] = []

    def publish(self, record: bytes) -> None:
        """Send a record soon."""
        while True:
            try:
                self._producer.produce(self._topic, record, on_delivery=self._delivered)
            except BufferError:  # its queue is full
                self._producer.poll(0.1)
            else:
                self._producer.poll(0)
                return

    def flush(self) -> None:
        """Wait until all that was published has arrived; see `Publisher`."""
        left = self._producer.flush(_FLUSH_SECONDS)
        if left or self._failures:
            reason = self._failures[0] if self._failures else f"nothing was heard for {_FLUSH_SECONDS:g} s"
            message = f"{self._topic}: {left + len(self._failures)} records did not arrive: {reason}"
            raise PublishError(message)

    def _delivered(self, error: object, _message: object) -> None:
        if error is not None:
            self._failures.append(str(error))


class PubSubPublisher:
    """Sends to a topic of Pub/Sub; `…/subscriptions/S` means the topic of that subscription."""

    def __init__(self, url: Url) -> None:
        """Look up the topic of `url`."""
        connector = PubSubConnector.parse(url)
        connector.check_client()
        from google.cloud import pubsub_v1

        address = connector.address
        if address.topic is None:
            with pubsub_v1.SubscriberClient() as subscriber:
                self._topic = subscriber.get_subscription(subscription=address.subscription).topic
        else:
            self._topic = address.topic
        self._client = pubsub_v1.PublisherClient(
            batch_settings=pubsub_v1.types.BatchSettings(max_messages=1000, max_latency=0.05)
        )
        self._waiting: list[object] = []
        self._failures: list[str] = []

    def publish(self, record: bytes) -> None:
        """Send a record soon."""
        self._waiting.append(self._client.publish(self._topic, record))
        if len(self._waiting) >= _PENDING:
            self._settle()

    def flush(self) -> None:
        """Wait until all that was published has arrived; see `Publisher`."""
        self._settle()
        if self._failures:
            message = f"{self._topic}: {len(self._failures)} records did not arrive: {self._failures[0]}"
            raise PublishError(message)

    def _settle(self) -> None:
        from google.api_core.exceptions import GoogleAPIError

        for each in self._waiting:
            try:
                each.result(_FLUSH_SECONDS)  # type: ignore[attr-defined]
            except GoogleAPIError as error:
                self._failures.append(str(error))
        self._waiting.clear()


_PENDING = 10_000

PUBLISHERS: Mapping[str, Callable[[Url], Publisher]] = {"kafka": KafkaPublisher, "pubsub": PubSubPublisher}
"""Scheme of a topic's URL -> what sends to it."""


def open_publisher(url: Url) -> Publisher:
    """Return what sends to the topic at `url`.

    Raises:
        ConfigError: nothing can be published there.

    """
    scheme = url.reveal().partition("://")[0]
    if scheme not in PUBLISHERS:
        known = ", ".join(f"{name}://" for name in PUBLISHERS)
        message = f"{url}: expected a topic, one of {known}; name it with --to"
        raise ConfigError(message)
    return PUBLISHERS[scheme](url)
