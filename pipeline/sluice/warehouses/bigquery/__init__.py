"""BigQuery as a warehouse."""

from sluice.warehouses.bigquery.connector import BigQueryConnector
from sluice.warehouses.bigquery.warehouse import BigQueryWarehouse

__all__ = ["BigQueryConnector", "BigQueryWarehouse"]
