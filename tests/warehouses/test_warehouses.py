from __future__ import annotations

import pytest
from sluice.errors import ConfigError
from sluice.warehouses import WAREHOUSES, open_warehouse
from sluice.warehouses.urls import redact


@pytest.mark.parametrize(
    ("url", "shown"),
    [("mysql://u:s3@x/d", "mysql://u:***@x/d"), ("w.duckdb", "w.duckdb"), ("postgres://x", "postgres://x")],
)
def test_an_unknown_scheme_is_refused_without_its_password(url: str, shown: str) -> None:
    with pytest.raises(ConfigError) as error:
        open_warehouse(url)
    known = ", ".join(f"{scheme}://" for scheme in WAREHOUSES)
    assert str(error.value) == f"warehouse: expected a URL that starts with one of {known}; got {shown!r}"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("duckdb:///out/w.duckdb", "duckdb:///out/w.duckdb"),
        ("postgresql://u@h:5432/d?schema=s", "postgresql://u@h:5432/d?schema=s"),
        ("postgresql://u:p@h:5432/d?schema=s", "postgresql://u:***@h:5432/d?schema=s"),
        ("postgresql://u:p/?#@:@h/d", "postgresql://u:***@h/d"),
        ("postgresql://:p@h/d", "postgresql://:***@h/d"),
        ("snowflake://u@a/d?private_key=x&role=r", "snowflake://u@a/d?private_key=***&role=r"),
        ("x://h/d?PASSWORD=a&b=c&api_token=d", "x://h/d?PASSWORD=***&b=c&api_token=***"),
    ],
)
def test_secrets_are_not_shown(url: str, shown: str) -> None:
    assert redact(url) == shown
