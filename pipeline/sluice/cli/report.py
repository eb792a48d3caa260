"""`sluice report`."""

from __future__ import annotations

import argparse
from pathlib import Path

from sluice.cli.command import Command, Options
from sluice.cli.job_options import add_key_options, read_job
from sluice.cli.output import print_json
from sluice.cli.report_file import add_html_option, prepare_report_file, read_report_file, write_report_page
from sluice.clock import system_clock
from sluice.config.options import local_path
from sluice.errors import ConfigError, UnreconciledError

_USED = ("name", "contracts", "route_by", "files", "warehouse", "load")
"""Keys of the job file that say which run it is, and where its manifest is and goes."""

_UNUSED = ("source", "dead_letters")
"""Keys that every job has, too: a job that is not here may have been submitted with flags for all of them."""


def _report(options: Options, _: list[str]) -> int:
    from sluice.cli.console import print_report
    from sluice.graph.ledger import read_report
    from sluice.graph.outcome import judge_submitted
    from sluice.graph.submission import read_submission

    if options.html is not None:
        prepare_report_file(Path(local_path(options.html, "--html")))
    places = options.report
    if len(places) > 1 or "://" in places[0] or Path(places[0]).is_dir():
        submission = read_submission(places[0])
        report = judge_submitted(read_report(*places), submission)
        if options.job is not None:
            from sluice.runtime.submitted_manifest import write_submitted_manifest

            job = read_job(options, unused=(*_UNUSED, "quarantine", "privacy_key"))
            write_submitted_manifest(job, places, report, system_clock)
    elif options.job is not None:
        message = f"--manifest: expected the totals folder of a submitted job, got the file {places[0]}"
        raise ConfigError(message)
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
    parser.add_argument(
        "--manifest",
        dest="job",
        metavar="JOB",
        help="job file of a submitted job: add what it has read since the last time to its manifest of sources",
    )
    add_key_options(parser.add_argument_group("keys of the job file of --manifest"), (*_USED, *_UNUSED))
    parser.add_argument("--json", action="store_true", help="print the report as JSON, and nothing else")
    add_html_option(parser)


REPORT = Command(
    name="report",
    summary="print a report that `sluice run --report FILE` saved, or that of a submitted job so far",
    example="sluice report report.json",
    add_options=_add_options,
    run=_report,
)
