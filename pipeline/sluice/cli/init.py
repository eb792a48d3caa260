"""`sluice init` and `sluice infer`: from samples of data to contracts, and to a project that runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sluice.addresses import STANDARD_INPUT
from sluice.cli.command import Command, Options, positive
from sluice.cli.output import print_line, print_text, printable
from sluice.errors import ConfigError, quote

if TYPE_CHECKING:
    from sluice.tooling.inference.from_samples import Found
    from sluice.tooling.inference.infer import Wishes

_RECORDS = 10_000
_NONE = "-"
"""What a person answers to choose none of the candidates."""

_SHOWN = 3
"""Reasons of rejected records that are shown."""


def _init(options: Options, _: list[str]) -> int:
    from sluice.clock import system_clock
    from sluice.tooling.inference.from_samples import infer_sample_project
    from sluice.tooling.inference.project import project_files, write_files

    if options.samples is None:
        found = infer_sample_project(options.name, _wishes(options), system_clock)
    else:
        found = _find(options)
    files = {**found.data, **project_files(options.name, found.inference, found.sample.records, found.source)}
    write_files(Path(), files)
    _print_found(found)
    for path in files:
        print_line(f"wrote {path}")
    if found.variable:
        address = "the address of the sample"
        if len(options.samples) > 1:
            address = "one address of all samples, such as a pattern"
        print_line(f"set {found.variable} to {address}: it has a secret, which is in none of these files")
    print_line(f"now run: sluice run jobs/{options.name}.yaml")
    return 0


def _infer(options: Options, _: list[str]) -> int:
    from sluice.config.urls import Url
    from sluice.tooling.inference.contract_yaml import contract_yaml
    from sluice.tooling.inference.project import contract_files, write_files

    found = _find(options)
    shown = ", ".join(str(Url(text)) for text in options.samples)
    contracts = found.inference.contracts
    if options.out is not None:
        files = contract_files(found.inference, options.out, shown)
        write_files(Path(), files)
        _print_found(found)
        for path in files:
            print_line(f"wrote {path}")
    elif len(contracts) == 1:
        print_text(contract_yaml(contracts[0], shown))
    else:
        message = f"--out: expected a folder for {len(contracts)} contracts, got nothing"
        raise ConfigError(message)
    return 0


def _find(options: Options) -> Found:
    """Infer the contracts of the samples that are named, or that are on standard input."""
    from sluice.clock import system_clock
    from sluice.tooling.inference.from_samples import infer_samples, infer_stream

    if STANDARD_INPUT not in options.samples:
        return infer_samples(options.name, options.samples, options.records, _wishes(options), system_clock)
    if len(options.samples) > 1:
        message = f"SAMPLE: expected {STANDARD_INPUT} alone, got {len(options.samples)} samples"
        raise ConfigError(message)
    return infer_stream(options.name, sys.stdin.buffer, options.records, _wishes(options), system_clock)


def _wishes(options: Options) -> Wishes:
    from sluice.tooling.inference.infer import Wishes, take_default

    asks = not options.yes and sys.stdin.isatty() and sys.stderr.isatty()
    return Wishes(
        route_by=options.route_by,
        event_time=options.event_time,
        identity=options.identity,
        bounds=options.bounds,
        choose=_ask if asks else take_default,
    )


def _ask(question: str, candidates: Sequence[str], default: str | None) -> str | None:
    """Ask a person on the terminal until the answer is one of the candidates, or none of them."""
    for line in (question, f"  {', '.join(candidates)}; {_NONE} for none"):
        print(printable(line), file=sys.stderr)
    while True:
        print(printable(f"[{default or _NONE}] "), end="", file=sys.stderr, flush=True)
        answer = sys.stdin.readline().strip()
        if not answer:
            return default
        if answer == _NONE:
            return None
        if answer in candidates:
            return answer
        print(printable(f"expected one of {', '.join(candidates)}, got {quote(answer)}"), file=sys.stderr)


def _print_found(found: Found) -> None:
    """Print what the contracts are, what was left out, and what they say of the sample itself."""
    from sluice.contracts import path_text

    inference, trial = found.inference, found.trial
    for inferred in inference.contracts:
        contract = inferred.contract
        unique = next((prop.name for prop in contract.properties if prop.unique), None)
        print_line(
            f"{contract.event_type}: {inferred.records:,} records, {len(contract.properties)} properties; "
            f"event time: {contract.event_time or 'the arrival'}; identity: {unique or 'the bytes of a record'}"
        )
        for path, reason in inferred.left_out.items():
            print_line(f"  left out: {path_text(path)}: {reason}")
    for route in inference.proposals:
        print_line(f"{route.name} may tell {len(route.types)} event types apart: --route-by {route.name}")
    print_line(f"{trial.accepted.total():,} of {trial.read:,} sample records are accepted")
    for rejected in trial.rejected[:_SHOWN]:
        reasons = "; ".join(
            f"{violation.path or 'the record'}: expected {violation.expected}, got {violation.got}"
            for violation in rejected.violations
        )
        print_line(f"  rejected: {reasons}")


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--route-by", metavar="PROPERTY", help="property that names the event type of a record"
    )
    parser.add_argument(
        "--event-time", metavar="PROPERTY", help="property with the time at which an event happened"
    )
    parser.add_argument(
        "--identity", metavar="PROPERTY", help="property that makes two records the same event, such as id"
    )
    parser.add_argument(
        "--bounds", action="store_true", help="bound numbers by the least and the greatest of the sample"
    )
    parser.add_argument(
        "--records",
        type=positive,
        default=_RECORDS,
        metavar="N",
        help=f"read at most this many records (default: {_RECORDS:,})",
    )
    parser.add_argument(
        "--yes",
        action="store_true",
        help="ask nothing: take what is most likely, as where there is no terminal",
    )


def _add_init_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="name of the job, such as shop")
    parser.add_argument(
        "--from",
        dest="samples",
        nargs="+",
        metavar="SAMPLE",
        help="files, a folder, a pattern, an address such as s3://bucket/*.json or kafka://host:9092/topic?group=g, or "
        "- for standard input (default: a small sample project)",
    )
    _add_options(parser)


def _add_infer_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "samples",
        nargs="+",
        metavar="SAMPLE",
        help="files, a folder, a pattern, an address, or - for standard input",
    )
    parser.add_argument(
        "--name",
        default="events",
        metavar="NAME",
        help="domain and event type of the contract (default: events)",
    )
    parser.add_argument(
        "--out", metavar="FOLDER", help="write a contract for each event type here (default: standard output)"
    )
    _add_options(parser)


INIT = Command(
    name="init",
    summary="write a project for your own data: contracts inferred from samples, a job and examples",
    example="sluice init shop --from 'data/*.json'",
    add_options=_add_init_options,
    run=_init,
)

INFER = Command(
    name="infer",
    summary="infer the contract of records, with a comment for what each guess rests on",
    example="sluice infer 'data/*.json' --name order",
    add_options=_add_infer_options,
    run=_infer,
)
