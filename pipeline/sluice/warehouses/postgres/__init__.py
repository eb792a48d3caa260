"""PostgreSQL as a warehouse."""

from sluice.warehouses.postgres.connector import PostgresConnector
from sluice.warehouses.postgres.warehouse import PostgresWarehouse

__all__ = ["PostgresConnector", "PostgresWarehouse"]
