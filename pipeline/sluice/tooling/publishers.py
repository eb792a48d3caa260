"""Publishers: topics of Kafka and Pub/Sub, whose URLs are those of the sources that read them, and a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import msgspec

from sluice.config.options import local_path
from sluice.config.urls import Url
from sluice.errors import ConfigError, PublishError
from sluice.sources.kafka.connector import KafkaConnector
from sluice.sources.pubsub.connector import PubSubConnector

_FLUSH_SECONDS = 60.0

_MOST_UNANSWERED = 10_000
"""Records that Pub/Sub has not answered yet, at most."""

_LARGEST_RECORD = 1_000_000_000
"""The client's own limit in bytes; the broker's is lower, and is the one that counts."""


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


class KafkaPublisher:
    """Sends to a topic of Kafka; the connection settings are those of the source."""

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
            reason = self._failures[0] if self._failures else f"no answer for {_FLUSH_SECONDS:g} s"
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
        if len(self._waiting) >= _MOST_UNANSWERED:
            self._await_answers()

    def flush(self) -> None:
        """Wait until all that was published has arrived; see `Publisher`."""
        self._await_answers()
        if self._failures:
            message = f"{self._topic}: {len(self._failures)} records did not arrive: {self._failures[0]}"
            raise PublishError(message)

    def _await_answers(self) -> None:
        from google.api_core.exceptions import GoogleAPIError

        for answer in self._waiting:
            try:
                answer.result(_FLUSH_SECONDS)  # type: ignore[attr-defined]
            except GoogleAPIError as error:
                self._failures.append(str(error))
        self._waiting.clear()


class FilePublisher:
    """Writes a new file of JSON lines, which begins to exist with its first record."""

    def __init__(self, url: Url) -> None:
        """Make sure that there is no file yet."""
        self._url = url
        self._path = Path(local_path(url.reveal(), url.where or "--to"))
        self._file: BinaryIO | None = None
        if self._path.exists():
            message = f"{url}: expected the name of a new file, got one that is there; it is not overwritten"
            raise ConfigError(message)

    def publish(self, record: bytes) -> None:
        """Write a record as one line; as in the event log, line breaks within a JSON value are left out.

        Raises:
            PublishError: it cannot be written, or is no JSON and has line breaks.

        """
        try:
            if self._file is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._path.open("xb")
            self._file.write((msgspec.json.format(record, indent=-1) if b"\n" in record else record) + b"\n")
        except OSError as error:
            raise self._failure(error) from error
        except msgspec.DecodeError as error:
            message = f"{self._url}: expected records of one line, got one with line breaks that is no JSON"
            raise PublishError(message) from error

    def flush(self) -> None:
        """Close the file; see `Publisher`."""
        try:
            if self._file is not None:
                self._file.close()
        except OSError as error:
            raise self._failure(error) from error

    def _failure(self, error: OSError) -> PublishError:
        return PublishError(f"{self._url}: cannot write: {error.strerror}")


PUBLISHERS: Mapping[str, Callable[[Url], Publisher]] = {"kafka": KafkaPublisher, "pubsub": PubSubPublisher}
"""Scheme of the URL of a topic -> its publisher."""


def open_publisher(url: Url, *, may_be_file: bool) -> Publisher:
    """Return the publisher for the topic at `url`, or the file, if it may be one.

    Raises:
        ConfigError: it is neither, its client is not installed, or the file is there already.

    """
    scheme, separator, _ = url.reveal().partition("://")
    if may_be_file and not separator:
        return FilePublisher(url)
    if scheme not in PUBLISHERS:
        known = ", ".join(f"{name}://" for name in PUBLISHERS)
        message = f"{url}: expected a topic, one of {known}, or a file; name it with --to"
        raise ConfigError(message)
    return PUBLISHERS[scheme](url)
