"""The files that `--report` and `--html` name: a run report in JSON, and pages."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from sluice.errors import ConfigError, StorageError

if TYPE_CHECKING:
    from sluice.graph.ledger import Report


def prepare_report_file(path: Path) -> None:
    """Make the folder of a report or a page, and find out before the run whether the file can be written.

    Raises:
        ConfigError: it cannot.

    """
    new = not path.exists()
    try:
        if not path.parent.exists():
            path.parent.mkdir(parents=True)
        path.open("ab").close()
    except OSError as error:
        message = f"{path}: cannot write the file: {error.strerror}"
        raise ConfigError(message) from error
    if new:
        path.unlink()


def write_report_file(report: Report, path: Path) -> None:
    """Write a report.

    Raises:
        StorageError: the file cannot be written.

    """
    try:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    except OSError as error:
        message = f"{path}: cannot write the report: {error.strerror}"
        raise StorageError(message) from error


def add_html_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the page of a report."""
    parser.add_argument("--html", metavar="FILE", help="write the report here as a page, in HTML")


def write_report_page(report: Report, path: Path) -> None:
    """Write the page of a report.

    Raises:
        StorageError: the file cannot be written.

    """
    from sluice.tooling.pages.run_page import render_run_page

    write_page(render_run_page(msgspec.to_builtins(report)), path)


def write_page(html: str, path: Path) -> None:
    """Write a page.

    Raises:
        StorageError: the file cannot be written.

    """
    try:
        # Text of data may have a lone surrogate, which no file can hold.
        path.write_bytes(html.encode("utf-8", "backslashreplace"))
    except OSError as error:
        message = f"{path}: cannot write the page: {error.strerror}"
        raise StorageError(message) from error


def read_report_file(path: Path) -> Report:
    """Return the report that `write_report_file` wrote.

    Raises:
        ConfigError: the file cannot be read, or is not a report.

    """
    from sluice.graph.ledger import Report

    try:
        return msgspec.json.decode(path.read_bytes(), type=Report)
    except OSError as error:
        message = f"{path}: cannot read the report: {error.strerror}"
        raise ConfigError(message) from error
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        message = f"{path}: expected a run report as --report writes it: {error}"
        raise ConfigError(message) from error
