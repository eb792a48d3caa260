"""`sluice sources` and `sluice warehouses`: which connectors there are, and what a job has read of its sources."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any

from sluice.cli.command import Command, Options
from sluice.cli.job_options import add_key_options, read_job
from sluice.config.connectors import Connector, ConnectorDescription, describe
from sluice.config.urls import Url
from sluice.errors import ConfigError

Connectors = Mapping[str, type[Connector[Any]]]
"""Scheme of a URL -> connector."""


def _sources(options: Options, _: list[str]) -> int:
    from sluice.sources import SOURCES

    if options.scheme is None or not options.scheme.endswith((".yaml", ".yml")):
        return _print(SOURCES, "source", options.scheme)
    from sluice.cli.source_states import print_source_states
    from sluice.tooling.source_states import source_states

    options.job = options.scheme
    job = read_job(options, unused=("warehouse", "dead_letters", "quarantine"))
    print_source_states(job.name, source_states(job))
    return 0


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


def _add_source_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "scheme",
        nargs="?",
        metavar="SCHEME|JOB",
        help="show one connector with all of its options, such as kafka, or, for a job file such as "
        "jobs/audit_events.yaml, what its runs have read of each file or partition, what is new, and what has changed",
    )
    add_key_options(parser, ("source", "files"))


SOURCES = Command(
    name="sources",
    summary="list the sources that a job can read, show one with its options, or show what a job has read",
    example="sluice sources jobs/audit_events.yaml",
    add_options=_add_source_options,
    run=_sources,
)

WAREHOUSES = Command(
    name="warehouses",
    summary="list the warehouses that a job can load, or show one with its options",
    example="sluice warehouses postgresql",
    add_options=_scheme_option("postgresql"),
    run=_warehouses,
)
