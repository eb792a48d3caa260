"""Snowflake as a warehouse."""

from sluice.warehouses.snowflake.connector import SnowflakeConnector
from sluice.warehouses.snowflake.warehouse import SnowflakeWarehouse

__all__ = ["SnowflakeConnector", "SnowflakeWarehouse"]
