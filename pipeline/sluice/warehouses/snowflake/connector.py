"""How a Snowflake warehouse is named: `snowflake://USER@ACCOUNT/DATABASE/SCHEMA?warehouse=NAME&role=NAME`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sluice.config.connectors import Client, Connector
from sluice.config.options import declared, option
from sluice.warehouses.snowflake.warehouse import SnowflakeWarehouse


@dataclass(frozen=True, kw_only=True)
class SnowflakeConnector(Connector[SnowflakeWarehouse]):
    """Tables of one schema of a Snowflake database."""

    schemes = ("snowflake",)
    shape = "snowflake://USER@ACCOUNT/DATABASE/SCHEMA?warehouse=NAME&role=NAME"
    place = re.compile(
        r"(?P<account>[^/]+)/(?P<database>[A-Za-z_][A-Za-z0-9_$]*)/(?P<schema>[A-Za-z_][A-Za-z0-9_$]*)"
    )
    client = Client("snowflake.connector", "snowflake")
    credentials = "they come from SNOWFLAKE_PRIVATE_KEY or SNOWFLAKE_PASSWORD"

    user: str = option("user", example="LOADER", part=True)
    account: str = option("account identifier", example="org-account", part=True)
    database: str = option("database", example="EVENTS", part=True)
    schema: str = option("schema; it is created if it is missing", example="RAW", part=True)
    warehouse: str | None = option("virtual warehouse; the user's default without", default=None)
    role: str | None = option("role; the user's default without", default=None)
    host: str | None = option("host in place of the account's own", default=None)
    port: str | None = option("port of that host", default=None)
    protocol: str | None = option("protocol of that host", default=None, example="http")

    def open(self) -> SnowflakeWarehouse:
        """Return the warehouse."""
        names = [field.name for field in declared(type(self))]
        options = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return SnowflakeWarehouse(str(self.url), options)
