"""`sluice generate`."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from sluice.cli.command import Command, Options, print_problems
from sluice.config.options import local_path

SCHEMAS = Path("schemas")
"""Where contracts lie unless somebody says otherwise, a folder for each domain."""

_HERE = "."


def _generate(options: Options, _: list[str]) -> int:
    from sluice.codegen.generate import run_generate

    only = [] if options.only is None else [name.strip() for name in options.only.split(",")]
    schemas, root = Path(local_path(options.path, "PATH")), Path(local_path(options.out, "--out"))
    messages = run_generate(schemas, root, check_only=options.check, only=only, command=_command(options))
    code = print_problems(messages, "all generated files are up to date")
    return code if options.check else 0


def _command(options: Options) -> str:
    """Return the command that writes what `--check` looks at."""
    path = [] if options.path == str(SCHEMAS) else [options.path]
    out = [] if options.out == _HERE else ["--out", options.out]
    only = [] if options.only is None else ["--only", options.only]
    return shlex.join(["sluice", "generate", *path, *out, *only])


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path",
        metavar="PATH",
        nargs="?",
        default=str(SCHEMAS),
        help="folder of contracts, or of a folder for each domain (default: schemas)",
    )
    parser.add_argument("--out", metavar="FOLDER", default=_HERE, help="write here (default: this folder)")
    parser.add_argument(
        "--only",
        metavar="TARGETS",
        help="write these alone, with commas between them, of duckdb, bigquery, postgres, sqlite, snowflake, "
        "json_schema, avro, dbt and diagram (default: all)",
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 if a generated file is stale"
    )


GENERATE = Command(
    name="generate",
    summary="write DDL, JSON Schema, Avro, dbt sources and the ER diagram from the contracts",
    example="sluice generate schemas/shop --out generated --only duckdb,bigquery",
    add_options=_add_options,
    run=_generate,
)
