"""How a PostgreSQL warehouse is named: `postgresql://USER:PASSWORD@HOST:PORT/DATABASE?schema=NAME`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from sluice.config.connectors import Client, Connector
from sluice.config.options import declared, option
from sluice.warehouses.postgres.warehouse import PostgresWarehouse


def _decoded(value: str, _where: str) -> str:
    return unquote(value)


def _host(value: str, _where: str) -> str:
    return unquote(value.strip("[]"))


def _tables(value: str, _where: str) -> tuple[str, ...]:
    return tuple(filter(None, value.split(",")))


@dataclass(frozen=True, kw_only=True)
class PostgresConnector(Connector[PostgresWarehouse]):
    """Tables of one schema of a PostgreSQL database.

    The options after `foreign_keys` are libpq's. A server that vanishes without a word is given up after a minute.
    """

    schemes = ("postgresql",)
    shape = "postgresql://USER@HOST:PORT/DATABASE?schema=NAME"
    place = re.compile(r"(?P<host>\[[^\]]*\]|[^:/\[\]]*)(:(?P<port>\d*))?/(?P<dbname>.+)")
    client = Client("adbc_driver_postgresql", "postgres")

    user: str = option("user; libpq's default without", default="", example="loader", part=True)
    password: str = option(
        "password, percent-encoded; without, libpq looks in PGPASSWORD and passfile",
        default="",
        example="${PASSWORD}",
        secret=True,
        part=True,
    )
    host: str = option(
        "server; libpq's default without", default="", example="db.example", parse=_host, part=True
    )
    port: str = option("port; libpq's default without", default="", example="5432", part=True)
    dbname: str = option("database", example="shop", parse=_decoded, part=True)
    schema: str = option("where the tables are; it is created if it is missing", default="public")
    foreign_keys: tuple[str, ...] = option(
        "tables of others that references are checked against",
        default=(),
        example="customers,products",
        parse=_tables,
    )
    connect_timeout: str = option("seconds until an attempt to connect fails", default="10")
    keepalives_idle: str = option("idle seconds before the first TCP keepalive", default="30")
    keepalives_interval: str = option("seconds between TCP keepalives", default="10")
    keepalives_count: str = option("lost TCP keepalives after which the connection is closed", default="3")
    tcp_user_timeout: str = option("milliseconds that sent data may stay unacknowledged", default="60000")
    sslmode: str = option("how TLS is used; libpq's default without", default="", example="verify-full")
    sslrootcert: str = option("file with the certificates of authorities", default="")
    sslcert: str = option("file with the client's certificate", default="")
    sslkey: str = option("file with the client's key", default="")
    passfile: str = option("file with passwords, as psql reads it", default="")
    application_name: str = option("name that the server shows", default="sluice")

    def open(self) -> PostgresWarehouse:
        """Return the warehouse."""
        own = ("schema", "foreign_keys")
        names = [field.name for field in declared(type(self)) if field.name not in own]
        options = {name: getattr(self, name) for name in names if getattr(self, name)}
        return PostgresWarehouse(str(self.url), self.schema, self.foreign_keys, options)
