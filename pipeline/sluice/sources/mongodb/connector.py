"""How a MongoDB collection is named: `mongodb://[user:password@]host[,host…]/db.collection[?options][#snapshot=1d]`.

What stands before the `#` is MongoDB's own connection string, `mongodb+srv://` included.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sluice.config.connectors import Client, Connector
from sluice.config.durations import duration
from sluice.config.options import option
from sluice.config.urls import Url

if TYPE_CHECKING:
    from sluice.sources.mongodb.source import MongoSource


@dataclass(frozen=True, kw_only=True)
class MongoConnector(Connector["MongoSource"]):
    """Documents of a MongoDB collection."""

    schemes = ("mongodb", "mongodb+srv")
    shape = "mongodb://HOST/DATABASE.COLLECTION"
    place = re.compile(r"(?P<hosts>[^/]+)/(?P<database>[^/.]+)\.(?P<collection>[^/]+)")
    options_after = "#"
    client = Client("pymongo", "mongodb")

    user: str = option("user, percent-encoded", default="", example="reader", secret=True, part=True)
    password: str = option(
        "password, percent-encoded", default="", example="${SHOP_PASSWORD}", secret=True, part=True
    )
    hosts: str = option("hosts, with commas between them", example="localhost:27017", part=True)
    database: str = option("database", example="shop", part=True)
    collection: str = option("collection", example="products", part=True)
    snapshot: float = option("span whose start is the arrival of the documents", default="1d", parse=duration)

    def open(self) -> MongoSource:
        """Return the source."""
        from sluice.sources.mongodb.source import Collection, MongoSource

        connection_string = Url(self.url.reveal().partition("#")[0], shown=str(self.url))
        return MongoSource(Collection(connection_string, self.database, self.collection, self.snapshot))
