"""`sluice sources` and `sluice warehouses`: which connectors there are, and what their URLs can say."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any

from sluice.cli.command import Command, Options
from sluice.config.connectors import Connector, ConnectorDescription, describe
from sluice.config.urls import Url
from sluice.errors import ConfigError

Connectors = Mapping[str, type[Connector[Any]]]
"""Scheme of a URL -> connector."""


def _sources(options: Options, _: list[str]) -> int:
    from sluice.sources import SOURCES

    return _print(SOURCES, "source", options.scheme)


def _warehouses(options: Options, _: list[str]) -> int:
    from sluice.warehouses import WAREHOUSES

    return _print(WAREHOUSES, "warehouse", options.scheme)


def _print(connectors: Connectors, kind: str, scheme: str | None) -> int:
    from sluice.cli.connector_tables import print_connector, print_connectors

    if scheme is None:
        print_connectors(_descriptions(connectors), kind)
    elif scheme in connectors:
        print_connector(describe(connectors[scheme]))
    else:
        message = f"{Url(scheme)}: expected the scheme of a {kind}, one of {', '.join(connectors)}"
        raise ConfigError(message)
    return 0


def _descriptions(connectors: Connectors) -> list[ConnectorDescription]:
    return [describe(connector) for connector in dict.fromkeys(connectors.values())]


def _scheme_option(example: str) -> Callable[[argparse.ArgumentParser], None]:
    def add_options(parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "scheme",
            nargs="?",
            metavar="SCHEME",
            help=f"show one connector with all of its options, such as {example}",
        )

    return add_options


SOURCES = Command(
    name="sources",
    summary="list the sources that a job can read, or show one with its options",
    example="sluice sources kafka",
    add_options=_scheme_option("kafka"),
    run=_sources,
)

WAREHOUSES = Command(
    name="warehouses",
    summary="list the warehouses that a job can load, or show one with its options",
    example="sluice warehouses postgresql",
    add_options=_scheme_option("postgresql"),
    run=_warehouses,
)
