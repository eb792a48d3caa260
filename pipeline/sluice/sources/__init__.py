"""Sources: where records come from. A folder for each kind, chosen by the scheme of its URL."""

from __future__ import annotations

from sluice.config.connectors import Connector, choose
from sluice.config.urls import Url
from sluice.sources.dead_letters.connector import DeadLettersConnector
from sluice.sources.files.connector import GcsFilesConnector, LocalFilesConnector, S3FilesConnector
from sluice.sources.http_api.connector import HttpConnector
from sluice.sources.kafka.connector import KafkaConnector
from sluice.sources.mongodb.connector import MongoConnector
from sluice.sources.pubsub.connector import PubSubConnector
from sluice.sources.source import Acknowledging, Sampled, Source

__all__ = ["SOURCES", "Acknowledging", "Sampled", "Source", "open_source", "parse_source"]

SOURCES: dict[str, type[Connector[Source]]] = {
    "dead-letters": DeadLettersConnector,
    "file": LocalFilesConnector,
    "gs": GcsFilesConnector,
    "http": HttpConnector,
    "https": HttpConnector,
    "kafka": KafkaConnector,
    "mongodb": MongoConnector,
    "mongodb+srv": MongoConnector,
    "pubsub": PubSubConnector,
    "s3": S3FilesConnector,
}
"""Scheme -> connector. What has no scheme is a local path."""


def parse_source(address: str | Url) -> Connector[Source]:
    """Return the connector for an address; it needs no client.

    Raises:
        ConfigError: the scheme is unknown, or the address is not as its connector declares.

    """
    url = Url.of(address)
    return choose(SOURCES, url, otherwise="file").parse(url)


def open_source(address: str | Url) -> Source:
    """Return the source at an address. Nothing is connected to yet: see `Source.check`.

    Raises:
        ConfigError: as of `parse_source`, or the client is not installed.

    """
    connector = parse_source(address)
    connector.check_client()
    return connector.open()
