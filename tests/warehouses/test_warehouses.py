from __future__ import annotations

import pytest
from sluice.config.connectors import describe
from sluice.errors import ConfigError
from sluice.warehouses import WAREHOUSES, open_warehouse


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mysql://u:s3@x/d", "mysql://x/d"),
        ("POSTGRESQL://u:s3@x/d?password=s3", "POSTGRESQL://x/d"),
        ("w.duckdb", "w.duckdb"),
        ("postgres://x", "postgres://x"),
    ],
)
def test_unknown_scheme_is_rejected_without_its_password(url: str, shown: str) -> None:
    with pytest.raises(ConfigError) as error:
        open_warehouse(url)
    known = "bigquery://, duckdb://, postgresql://, snowflake://, sqlite://"
    assert str(error.value) == f"warehouse: expected a URL with one of {known}, got {shown!r}"


@pytest.mark.parametrize("scheme", WAREHOUSES)
def test_warehouse_is_listed_under_each_of_its_schemes(scheme: str) -> None:
    description = describe(WAREHOUSES[scheme])
    assert scheme in description.schemes
    assert set(description.schemes) <= WAREHOUSES.keys()
    assert description.shape.startswith(f"{description.schemes[0]}://")
    assert all(option.help for option in (*description.parts, *description.options))
