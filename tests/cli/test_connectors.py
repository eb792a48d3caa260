"""`sluice warehouses` and `sluice sources`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from sluice.cli.main import main
from sluice.config.connectors import Connector, describe
from sluice.sources import SOURCES
from sluice.warehouses import WAREHOUSES

KINDS: list[tuple[str, Mapping[str, type[Connector[Any]]]]] = [
    ("sources", SOURCES),
    ("warehouses", WAREHOUSES),
]
CONNECTORS = [
    (command, scheme, connector) for command, connectors in KINDS for scheme, connector in connectors.items()
]


@pytest.mark.parametrize(("command", "connectors"), KINDS)
def test_every_connector_is_listed(
    command: str, connectors: Mapping[str, type[Connector[Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command]) == 0
    listed = "".join(capsys.readouterr().out.split())
    assert [
        scheme
        for scheme, connector in connectors.items()
        if "".join(connector.shape.split())[:12] not in listed
    ] == []


@pytest.mark.parametrize(("command", "scheme", "connector"), CONNECTORS)
def test_connector_is_shown_with_every_option(
    command: str, scheme: str, connector: type[Connector[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, scheme]) == 0
    shown = capsys.readouterr().out
    declared = describe(connector)
    assert f"URL: {declared.shape}\n" in shown
    assert [option.name for option in (*declared.parts, *declared.options) if option.name not in shown] == []


def test_unknown_scheme_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["warehouses", "oracle"]) == 2
    assert capsys.readouterr().err == (
        "sluice: oracle: expected the scheme of a warehouse, one of bigquery, duckdb, postgresql, snowflake, sqlite\n"
    )
