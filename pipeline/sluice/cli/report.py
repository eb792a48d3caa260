"""`sluice report`."""

from __future__ import annotations

import argparse
from pathlib import Path

from sluice.cli.command import Command, Options
from sluice.cli.output import print_json
from sluice.cli.report_file import add_html_option, prepare_report_file, read_report_file, write_report_page
from sluice.config.options import local_path
from sluice.errors import UnreconciledError


def _report(options: Options, _: list[str]) -> int:
    from sluice.cli.console import print_report
    from sluice.graph.ledger import read_report
    from sluice.graph.outcome import judge_submitted
    from sluice.graph.submission import read_submission

    if options.html is not None:
        prepare_report_file(Path(local_path(options.html, "--html")))
    places = options.report
    if len(places) > 1 or "://" in places[0] or Path(places[0]).is_dir():
        report = judge_submitted(read_report(*places), read_submission(places[0]))
    else:
        report = read_report_file(Path(places[0]))
    if options.json:
        print_json(report)
    else:
        print_report(report)
    if options.html is not None:
        write_report_page(report, Path(options.html))
    return 0 if report.reconciled and report.failure is None else UnreconciledError.exit_code


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "report",
        metavar="FILE",
        nargs="+",
        help="report file, in JSON, or the totals folder of a submitted job; those of a job that was updated in place",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON, and nothing else")
    add_html_option(parser)


REPORT = Command(
    name="report",
    summary="print a report that `sluice run --report FILE` saved, or that of a submitted job so far",
    example="sluice report report.json",
    add_options=_add_options,
    run=_report,
)
