"""`sluice generate`."""

from __future__ import annotations

import argparse
from pathlib import Path

from sluice.cli.command import Command, Options, print_problems

SCHEMAS = Path("schemas")
"""Where contracts lie, a folder for each domain."""


def _generate(options: Options, _: list[str]) -> int:
    from sluice.codegen.generate import run_generate

    messages = run_generate(SCHEMAS, Path(), check_only=options.check)
    code = print_problems(messages, "all generated files are up to date")
    return code if options.check else 0


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 if a generated file is stale"
    )


GENERATE = Command(
    name="generate",
    summary="write DDL, JSON Schema, Avro, dbt sources and the ER diagram from the contracts",
    example="sluice generate --check",
    add_options=_add_options,
    run=_generate,
)
