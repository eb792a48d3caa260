"""`sluice publish`."""

from __future__ import annotations

import argparse
from itertools import islice

from sluice.cli.command import Command, Options
from sluice.cli.job_options import add_job_argument
from sluice.cli.output import print_line
from sluice.config.job import load_job
from sluice.config.urls import Url
from sluice.errors import ConfigError

_OTHER_PLACES = ("files", "warehouse", "dead_letters", "quarantine")


def _publish(options: Options, _: list[str]) -> int:
    from sluice.cli.console import counter
    from sluice.clock import system_clock
    from sluice.tooling.fake_events import fake_events
    from sluice.tooling.publish import file_records, parse_rate, publish
    from sluice.tooling.publishers import FilePublisher, open_publisher

    if (options.source is None) != options.generate:
        message = "publish: expected either --source FILES or --generate"
        raise ConfigError(message)
    rate = None if options.rate is None else parse_rate(options.rate)
    job = load_job(options.job, unused=_OTHER_PLACES)
    topic = job.source if options.to is None else Url(options.to, where="--to")
    publisher = open_publisher(topic, may_be_file=options.to is not None)
    if isinstance(publisher, FilePublisher) and options.count is None and (options.generate or options.loop):
        message = "publish: expected --count N for a file, got records without end"
        raise ConfigError(message)
    if options.generate:
        records = fake_events(job.contracts, job.route_by, system_clock)
    else:
        records = file_records(options.source, loop=options.loop)
    with counter(f"sluice publish {job.name}", "records") as show:
        sent = publish(islice(records, options.count), publisher, rate, show)
    print_line(f"{job.name}: {sent:,} records published to {topic}")
    return 0


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_job_argument(parser)
    parser.add_argument(
        "--to",
        metavar="PLACE",
        help="topic, such as kafka://host:9092/topic, or a new file of JSON lines (default: the job's source)",
    )
    parser.add_argument("--source", metavar="FILES", help="records to send, unchanged: a path or a glob")
    parser.add_argument(
        "--generate",
        action="store_true",
        help="send generated events that follow the job's contracts, with the present time",
    )
    parser.add_argument(
        "--rate", metavar="N/s", help="records a second, such as 500/s (default: as fast as possible)"
    )
    parser.add_argument("--loop", action="store_true", help="start again when the source ends")
    parser.add_argument(
        "--count", type=int, metavar="N", help="stop after this many records (default: at the source's end)"
    )


PUBLISH = Command(
    name="publish",
    summary="publish records to the topic of a job, or write them to a file: those of files, or generated events",
    example="sluice publish jobs/clickstream.yaml --generate --rate 500/s",
    add_options=_add_options,
    run=_publish,
)
