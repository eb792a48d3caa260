"""How a Kafka topic is named: `kafka://HOST:9092[,HOST:9092…]/TOPIC?group=NAME&start=…`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sluice.config.connectors import Client, Connector
from sluice.config.options import option
from sluice.errors import ConfigError, quote
from sluice.sources.kafka.client import Topic

if TYPE_CHECKING:
    from sluice.sources.kafka.source import KafkaSource

_STARTS = ("committed", "earliest", "latest")


def _start(text: str, where: str) -> str | float:
    """Return one of `_STARTS`, or a log time in epoch seconds."""
    if text in _STARTS:
        return text
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        message = (
            f"{where}: expected one of {', '.join(_STARTS)} or a time with its offset, such as "
            f"2025-02-08T13:09:00Z, got {quote(text)}"
        )
        raise ConfigError(message)
    return time.timestamp()


@dataclass(frozen=True, kw_only=True)
class KafkaConnector(Connector["KafkaSource"]):
    """Records of an Apache Kafka topic."""

    schemes = ("kafka",)
    shape = "kafka://HOST:9092/TOPIC?group=NAME"
    place = re.compile(r"(?P<brokers>[^/]+)/(?P<topic_name>[A-Za-z0-9._-]{1,249})")
    client = Client("confluent_kafka", "kafka")
    bounded = False
    credentials = "they come from KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"

    brokers: str = option("brokers, with commas between them", example="a:9092,b:9092", part=True)
    topic_name: str = option("topic", example="clicks", part=True)
    group: str = option("the consumer group that stores the job's offsets", example="sluice-clicks")
    start: str | float = option(
        "where a new group begins: committed (what the group has stored, else the earliest record), earliest, latest,"
        " or a log time with its offset",
        default="committed",
        example="2025-02-08T13:09:00Z",
        parse=_start,
    )

    @property
    def topic(self) -> Topic:
        """What to read."""
        return Topic(self.brokers, self.topic_name, self.group, self.start)

    def open(self) -> KafkaSource:
        """Return the source."""
        from sluice.sources.kafka.source import KafkaSource

        return KafkaSource(self.topic)
