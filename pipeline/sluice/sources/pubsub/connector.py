"""How Pub/Sub is named: `pubsub://projects/P/subscriptions/S`, or `pubsub://projects/P/topics/T?subscription=S`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from sluice.config.connectors import Client, Connector
from sluice.config.options import OneOf, option
from sluice.config.urls import Url
from sluice.errors import ConfigError
from sluice.sources.pubsub.client import Address

if TYPE_CHECKING:
    from sluice.sources.pubsub.source import PubSubSource


@dataclass(frozen=True, kw_only=True)
class PubSubConnector(Connector["PubSubSource"]):
    """Messages of a Google Pub/Sub subscription, or of a topic through a subscription of the job's own."""

    schemes = ("pubsub",)
    shape = "pubsub://projects/PROJECT/subscriptions/NAME or pubsub://projects/PROJECT/topics/NAME"
    place = re.compile(r"projects/(?P<project>[^/]+)/(?P<collection>subscriptions|topics)/(?P<name>[^/]+)")
    client = Client("google.cloud.pubsub_v1", "gcp")
    bounded = False
    credentials = "they are Google's application default credentials"

    project: str = option("project of Google Cloud", example="my-project", part=True)
    collection: str = option(
        "what NAME is the name of", parse=OneOf("subscriptions", "topics"), example="topics", part=True
    )
    name: str = option("subscription or topic", example="clicks", part=True)
    subscription: str | None = option(
        "subscription through which a topic is read, sluice-TOPIC without; it is created if it is missing",
        default=None,
        example="clicks-to-warehouse",
    )

    @classmethod
    def parse(cls, address: str | Url, **defaults: Any) -> Self:
        """Return the connector; only a topic takes the option `subscription`."""
        connector = super().parse(address, **defaults)
        if connector.subscription is not None and connector.collection == "subscriptions":
            expected = "expected this option for a topic alone, got a subscription"
            message = f"{connector.url.label}: subscription: {expected}"
            raise ConfigError(message)
        return connector

    @property
    def address(self) -> Address:
        """What to read, by full names."""
        prefix = f"projects/{self.project}"
        uri = f"pubsub://{prefix}/{self.collection}/{self.name}"
        if self.collection == "subscriptions":
            return Address(uri, f"{prefix}/subscriptions/{self.name}", None)
        subscription = self.subscription or f"sluice-{self.name}"
        return Address(uri, f"{prefix}/subscriptions/{subscription}", f"{prefix}/topics/{self.name}")

    def open(self) -> PubSubSource:
        """Return the source."""
        from sluice.sources.pubsub.source import PubSubSource

        return PubSubSource(self.address)
