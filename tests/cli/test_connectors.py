"""`sluice warehouses` and `sluice sources`."""

from __future__ import annotations

import pytest
from sluice.cli.main import main
from sluice.config.connectors import describe
from sluice.warehouses import WAREHOUSES


def test_every_warehouse_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["warehouses"]) == 0
    listed = capsys.readouterr().out
    assert [scheme for scheme in WAREHOUSES if f"{scheme}://" not in listed] == []


@pytest.mark.parametrize("scheme", WAREHOUSES)
def test_warehouse_is_shown_with_every_option(scheme: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["warehouses", scheme]) == 0
    shown = capsys.readouterr().out
    assert f"URL: {WAREHOUSES[scheme].shape}\n" in shown
    connector = describe(WAREHOUSES[scheme])
    assert [
        option.name for option in (*connector.parts, *connector.options) if option.name not in shown
    ] == []


def test_unknown_scheme_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["warehouses", "oracle"]) == 2
    assert capsys.readouterr().err == (
        "sluice: oracle: expected the scheme of a warehouse, one of bigquery, duckdb, postgresql, snowflake, sqlite\n"
    )
