"""dbt against the BigQuery emulator, with the arguments of the command line."""

import sys
import types
from typing import Any

from dbt.cli.main import dbtRunner
from google.cloud import bigquery

_get_table = bigquery.Client.get_table


def get_table(self: Any, table: Any, *arguments: Any, **named: Any) -> Any:
    """Return a table without rows where the emulator does not name it.

    After a `create table as`, dbt asks for the table to count its rows. The emulator does not say where they are.
    """
    if table is None:
        return types.SimpleNamespace(num_rows=0)
    return _get_table(self, table, *arguments, **named)


if __name__ == "__main__":
    bigquery.Client.get_table = get_table
    sys.exit(not dbtRunner().invoke(sys.argv[1:]).success)
