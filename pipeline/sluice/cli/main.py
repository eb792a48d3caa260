"""The `sluice` command: thin, one function a command. A user's mistake ends with one line and exit code 2."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from sluice.config.job import Job, Windows, load_job, option_fields, with_contract
from sluice.errors import ConfigError, SluiceError, StorageError, UnreconciledError

if TYPE_CHECKING:
    from sluice.graph.ledger import Report
    from sluice.runtime.launch import Submitted
    from sluice.sources.dead_letters import Selection

_SCHEMAS = Path("schemas")
"""Where contracts lie, a folder for each domain."""

_TABLE_KEYS = ("contracts", "warehouse", "load")
"""Keys of the job file that its tables depend on."""

_JOB_HELP = "job file, such as jobs/backend_events.yaml"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code: 0 done, 1 failed, 2 the user's mistake."""
    _log_to_standard_error()
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    command: Callable[[argparse.Namespace, list[str]], int] = options.command
    if rest and command not in (run, load, redeliver):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        return command(options, rest)
    except SluiceError as error:
        print(f"sluice: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # who reads the output has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print(
            "sluice: interrupted; what was written stays valid, and the next run completes it",
            file=sys.stderr,
        )
        return 130


def _log_to_standard_error() -> None:
    """Have what the product itself logs shown; what libraries log is not."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s sluice: %(message)s"))
    logger = logging.getLogger("sluice")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


def run(options: argparse.Namespace, beam_args: list[str]) -> int:
    """Run a job to its end, or a live one until it is drained."""
    from sluice.runtime.launch import run_job

    job = _job(options, beam_args)
    return _report(run_job(job, beam_args, metrics_port=options.metrics_port), job, options)


def load(options: argparse.Namespace, beam_args: list[str]) -> int:
    """Load what the warehouse lacks of the log."""
    from sluice.runtime.launch import load_log

    job = _job(options, beam_args)
    return _report(load_log(job, beam_args), job, options)


def tables(options: argparse.Namespace, _: list[str]) -> int:
    """Create the tables of a job, tell how they differ from its contracts, or add what they lack."""
    from sluice.tooling.tables import apply_contracts, compare_tables, contracts_of, create_tables
    from sluice.warehouses import open_warehouse

    given = {name: value for name in _TABLE_KEYS if (value := getattr(options, name)) is not None}
    job = load_job(options.job, given, unused=("source", "files", "dead_letters", "quarantine"))
    change = create_tables if options.create else apply_contracts if options.apply else compare_tables
    made = change(open_warehouse(job.warehouse), contracts_of(job))
    for message in made.done:
        print(message)
    if made.done and not made.left:
        return 0
    return _say(
        made.left, f"{job.name}: all tables are there" if options.create else f"{job.name}: no difference"
    )


def publish(options: argparse.Namespace, _: list[str]) -> int:
    """Feed a topic."""
    from sluice.cli.console import counting
    from sluice.tooling.publish import parse_rate, publish

    if (options.source is None) != options.generate:
        message = "publish: expected either --source FILES or --generate"
        raise ConfigError(message)
    rate = None if options.rate is None else parse_rate(options.rate)
    job = load_job(options.job, unused=("files", "warehouse", "dead_letters", "quarantine"))
    with counting(f"sluice publish {job.name}") as told:
        sent = publish(
            job,
            to=options.to,
            source=options.source,
            rate=rate,
            loop=options.loop,
            count=options.count,
            told=told,
        )
    print(f"{job.name}: {sent:,} records published to {options.to or job.source}")
    return 0


def redeliver(options: argparse.Namespace, beam_args: list[str]) -> int:
    """Say which dead letters would be delivered again and where to, and deliver them."""
    from sluice.cli.console import print_plan
    from sluice.graph.redelivery import plan_redelivery
    from sluice.runtime.launch import redeliver_dead_letters
    from sluice.sources.dead_letters import DeadLetterSource

    job = _job(options, beam_args)
    for text in options.set:
        name, _, file = text.partition("=")
        if name != "contract" or not file:
            message = f"--set: expected contract=FILE, got {text!r}; other keys have flags of their own"
            raise ConfigError(message)
        job = with_contract(job, file)
    source = DeadLetterSource(_selection(options).url(job.dead_letters, job.quarantine))
    plan = plan_redelivery(source)
    print_plan(plan, job, source.url)
    if options.dry_run or not plan.letters:
        return 0
    return _report(redeliver_dead_letters(job, source, beam_args), job, options)


def _selection(options: argparse.Namespace) -> Selection:
    """Return what --where and --since choose."""
    from sluice.clock import system_clock
    from sluice.graph.redelivery import read_selection

    return read_selection(options.where, options.since, system_clock())


def check(options: argparse.Namespace, _: list[str]) -> int:
    """Check contracts, their examples and job files; with --against, for breaking changes too."""
    from sluice.tooling.compatibility import breaking_changes_against
    from sluice.tooling.lint import check_files

    problems = check_files(options.paths)
    if options.against is not None and not problems:
        problems = [str(change) for change in breaking_changes_against(options.against, _SCHEMAS)]
    return _say(problems, f"{', '.join(options.paths)}: nothing to mend")


def generate(options: argparse.Namespace, _: list[str]) -> int:
    """Write what is generated from the contracts, or say what is stale."""
    from sluice.codegen.generate import run_generate

    messages = run_generate(_SCHEMAS, Path(), check_only=options.check)
    if options.check:
        return _say(messages, "all generated files are up to date")
    _say(messages, "all generated files are up to date")
    return 0


def _say(messages: Sequence[str], otherwise: str) -> int:
    for message in messages or [otherwise]:
        print(message)
    return 1 if messages else 0


def report(options: argparse.Namespace, _: list[str]) -> int:
    """Print a saved run report, or that of a submitted job so far."""
    from sluice.cli.console import print_report
    from sluice.graph.ledger import Report, read_report

    try:
        if "://" in options.report or Path(options.report).is_dir():
            saved = read_report(options.report)
        else:
            saved = msgspec.json.decode(Path(options.report).read_bytes(), type=Report)
    except OSError as error:
        message = f"{options.report}: cannot read the report: {error.strerror}"
        raise ConfigError(message) from error
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        message = f"{options.report}: expected a run report as --report writes it: {error}"
        raise ConfigError(message) from error
    print_report(saved)
    return 0 if saved.reconciled else UnreconciledError.exit_code


def _job(options: argparse.Namespace, beam_args: Sequence[str]) -> Job:
    given = vars(options)
    names = [each.name for each in option_fields()] + [
        f"windows.{each.name}" for each in option_fields(Windows)
    ]
    job = load_job(options.job, {name: given[name] for name in names if given.get(name) is not None})
    if beam_args:
        _check_beam_args(beam_args)
    if options.report is not None:
        _check_report(Path(options.report))
    return job


def _check_beam_args(beam_args: Sequence[str]) -> None:
    """Refuse what Beam would leave out with a warning, such as a flag of ours that is misspelt."""
    from apache_beam.options.pipeline_options import PipelineOptions

    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, conflict_handler="resolve")
    for each in PipelineOptions.__subclasses__():
        each._add_argparse_args(parser)
    _, unknown = parser.parse_known_args(beam_args)
    if unknown:
        message = (
            f"{' '.join(unknown)}: neither a key of the job file nor an option of Beam; see sluice run --help"
        )
        raise ConfigError(message)


def _check_report(path: Path) -> None:
    """Find out before the run, not after it, whether its report can be written; make its folder."""
    new = not path.exists()
    try:
        if not path.parent.exists():
            path.parent.mkdir(parents=True)
        path.open("ab").close()
    except OSError as error:
        message = f"{path}: cannot write the report: {error.strerror}"
        raise ConfigError(message) from error
    if new:
        path.unlink()


def _report(made: Report | Submitted, job: Job, options: argparse.Namespace) -> int:
    from sluice.cli.console import print_report
    from sluice.runtime.launch import Submitted

    if isinstance(made, Submitted):
        name = f" as {made.job_id}" if made.job_id else ""
        print(f"{job.name}: submitted to {made.runner}{name}; its figures: sluice report {made.totals}")
        return 0
    if options.report is not None:
        try:
            Path(options.report).write_bytes(msgspec.json.format(msgspec.json.encode(made), indent=2) + b"\n")
        except OSError as error:
            message = f"{options.report}: cannot write the report: {error.strerror}"
            raise StorageError(message) from error
    print_report(made, job)
    if not made.reconciled:
        message = f"{job.name}: the run ended, but its counts do not reconcile; see the report"
        raise UnreconciledError(message)
    return 0


class _CommandsFormatter(argparse.HelpFormatter):
    """Gives the longest command its sentence on the same line: argparse forgets the indent of commands."""

    def add_argument(self, action: argparse.Action) -> None:
        super().add_argument(action)
        for command in self._iter_indented_subactions(action):
            width = self._current_indent + len(self._format_action_invocation(command))
            self._action_max_length = max(self._action_max_length, width)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sluice",
        description="Turn raw events into trusted tables: one Beam graph, exactly-once files and rows, dead letters.",
        epilog="Example: sluice run jobs/backend_events.yaml --source 'history/*.json.gz' --report report.json",
        formatter_class=_CommandsFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add(
        commands,
        run,
        "run a job: a history to its end, a live source until Ctrl-C or SIGTERM drains it",
        "sluice run jobs/backend_events.yaml --source 'history/*' --report report.json",
        _add_run,
    )
    _add(
        commands,
        load,
        "load into the warehouse whatever it lacks of the log: after a failure, or into a new warehouse",
        "sluice load jobs/backend_events.yaml --warehouse duckdb:///rebuilt.duckdb",
        _add_job,
    )
    _add(
        commands,
        tables,
        "create the tables of a job, tell how they differ from its contracts, or add the columns that they lack",
        "sluice tables jobs/backend_events.yaml --diff",
        _add_tables,
    )
    _add(
        commands,
        publish,
        "feed the topic of a job: a history's records, or made-up events, at a steady rate",
        "sluice publish jobs/clickstream.yaml --generate --rate 500/s",
        _add_publish,
    )
    _add(
        commands,
        redeliver,
        "deliver dead letters again, through the same graph, once their cause is mended",
        "sluice redeliver jobs/backend_events.yaml --where code=enum,event_type=order --dry-run",
        _add_redeliver,
    )
    _add(
        commands,
        check,
        "check contracts and jobs: exact file, key and fix; with --against, refuse breaking changes",
        "sluice check --against main",
        _add_check,
    )
    _add(
        commands,
        generate,
        "write DDL, JSON Schema, Avro and the ER diagram from the contracts",
        "sluice generate --check",
        _add_generate,
    )
    _add(
        commands,
        report,
        "print a report that `sluice run --report FILE` saved, or that of a submitted job so far",
        "sluice report report.json",
        lambda parser: parser.add_argument(
            "report", metavar="FILE", help="report file, in JSON, or the totals folder of a submitted job"
        ),
    )
    return parser


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    command: Callable[[argparse.Namespace, list[str]], int],
    summary: str,
    example: str,
    add_options: Callable[[argparse.ArgumentParser], object],
) -> None:
    """Add one command: its sentence, its example, its options."""
    sentence = f"{summary[0].upper()}{summary[1:]}."
    parser = commands.add_parser(
        command.__name__, help=summary, description=sentence, epilog=f"Example: {example}", allow_abbrev=False
    )
    parser.set_defaults(command=command)
    add_options(parser)


def _add_job(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", metavar="JOB", help=_JOB_HELP)
    group = parser.add_argument_group(
        "keys of the job file",
        "Each overrides the key of the same name. Durations carry units: 500ms, 10s, 5m, 2h, 7d.",
    )
    for each in option_fields():
        if each.name != "windows":
            flag = f"--{each.name.replace('_', '-')}"
            group.add_argument(flag, dest=each.name, metavar="TEXT", help=_help(each.metadata))
    for each in option_fields(Windows):
        flags = dict.fromkeys((f"--windows.{each.name.replace('_', '-')}", f"--windows.{each.name}"))
        group.add_argument(*flags, dest=f"windows.{each.name}", metavar="TEXT", help=_help(each.metadata))
    parser.add_argument("--report", metavar="FILE", help="write the run report here, in JSON")
    parser.epilog = f"{parser.epilog}. Whatever else is given goes to Beam, such as --runner=PrismRunner."


def _add_run(parser: argparse.ArgumentParser) -> None:
    _add_job(parser)
    parser.add_argument(
        "--metrics-port",
        type=int,
        metavar="PORT",
        help="live jobs on this machine: serve /metrics for Prometheus and /healthz on this port",
    )


def _add_tables(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", metavar="JOB", help=_JOB_HELP)
    for each in option_fields():
        if each.name in _TABLE_KEYS:
            parser.add_argument(f"--{each.name}", metavar="TEXT", help=_help(each.metadata))
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--create", action="store_true", help="create what is missing, and change nothing else")
    what.add_argument("--diff", action="store_true", help="change nothing; exit 1 if a table differs")
    what.add_argument(
        "--apply",
        action="store_true",
        help="create tables, and add columns that may be null; exit 1 if something else differs",
    )


def _add_publish(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", metavar="JOB", help=_JOB_HELP)
    parser.add_argument(
        "--to", metavar="URL", help="topic, such as kafka://host:9092/topic (default: the job's source)"
    )
    parser.add_argument("--source", metavar="FILES", help="records to send, as they are: a path or a glob")
    parser.add_argument(
        "--generate", action="store_true", help="send events made up from the job's contracts, of now"
    )
    parser.add_argument(
        "--rate", metavar="N/s", help="records a second, such as 500/s (default: as fast as it goes)"
    )
    parser.add_argument("--loop", action="store_true", help="begin again when the source ends")
    parser.add_argument(
        "--count", type=int, metavar="N", help="end after so many records (default: at the source's end)"
    )


def _add_redeliver(parser: argparse.ArgumentParser) -> None:
    _add_job(parser)
    parser.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="NAME=VALUE,…",
        help="only letters whose code, event_type, job, step or contract is this; values of one name are alternatives",
    )
    parser.add_argument(
        "--since",
        metavar="TIME",
        help="only letters rejected since then: a time with its offset, or how long ago, such as 24h",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="contract=FILE",
        help="hold letters against this contract in the place of the job's own of that event type",
    )
    parser.add_argument("--dry-run", action="store_true", help="say which letters, and deliver none")


def _add_check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths",
        nargs="*",
        default=["schemas", "jobs"],
        metavar="PATH",
        help="contracts, job files or folders of them (default: schemas jobs)",
    )
    parser.add_argument(
        "--against",
        metavar="REVISION",
        help="git revision, or folder of contracts, that consumers rely on: refuse what would break them",
    )


def _add_generate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail if a generated file is stale"
    )


def _help(metadata: Mapping[str, Any]) -> str:
    example = f", such as {metadata['example']}" if "example" in metadata else ""
    return f"{metadata['help']}{example}"
