"""One emulator for the suites of a module, and an empty warehouse for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from google.cloud import bigquery
from sluice.warehouses.bigquery.warehouse import BigQueryWarehouse

from devservers import bigquery as bigquery_emulator
from tests.warehouses.backends import bigquery_client, fresh_name
from tests.warehouses.order_segments import DEAD_LETTER, ORDER


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with bigquery_emulator.start(tmp_path_factory.mktemp("bigquery")) as emulator:
        yield emulator.address


@pytest.fixture
def client(server: str) -> Iterator[bigquery.Client]:
    made = bigquery_client(server)
    yield made
    made.close()


@pytest.fixture
def warehouse(server: str, monkeypatch: pytest.MonkeyPatch) -> BigQueryWarehouse:
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", server)
    made = BigQueryWarehouse("emulator", fresh_name(), retry_seconds=1)
    made.prepare([ORDER, DEAD_LETTER])
    return made
