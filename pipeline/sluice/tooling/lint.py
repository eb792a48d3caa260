"""All problems of contracts, their examples, job files and monitor files, not only the first one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sluice.codegen.model_names import model_name_problems
from sluice.config.job import load_job, option_fields
from sluice.config.options import local_path
from sluice.contracts import ITEM, Contract, load_contracts, path_text, walk
from sluice.errors import ConfigError
from sluice.sources import parse_source
from sluice.storage import open_store
from sluice.tooling.job_checks import job_problems
from sluice.tooling.monitors.problems import monitor_problems
from sluice.tooling.monitors.reading import is_monitor_file
from sluice.validation.explainer import compile_explainer
from sluice.warehouses import parse_warehouse

CONTRACT = ".odcs.yaml"


def check_files(paths: Iterable[str | Path], notes: list[str] | None = None) -> list[str]:
    """Return every problem of the contracts, jobs and monitors at `paths`, each as `file: key: expected, got; fix`.

    What of the contracts has no effect, or another one than a reader may think, is added to `notes`.

    A path is a contract, a job file, or a folder, of which all `.yaml` files are taken, at any depth.
    Environment variables of jobs need not be set: their names stand in for them.

    Raises:
        ConfigError: a path does not exist, or there is nothing to check at all.

    """
    files = list(dict.fromkeys(file for path in paths for file in _files(_path(path))))
    if not files:
        message = (
            f"expected contracts (*{CONTRACT}) or jobs (*.yaml) in {', '.join(map(str, paths))}, got none"
        )
        raise ConfigError(message)
    contracts = [file for file in files if file.name.endswith(CONTRACT)]
    problems = []
    domains: dict[Path, list[Contract]] = {}
    for folder in dict.fromkeys(file.parent for file in contracts):
        domain: list[Contract] = []
        files_of_domain = [file for file in contracts if file.parent == folder]
        problems += _check_domain(folder, files_of_domain, domain, [] if notes is None else notes)
        domains.setdefault(folder.resolve().parent, []).extend(domain)
    if not problems:
        for project in domains.values():  # one dbt project is made of the domains of one folder
            problems += model_name_problems(project)
    # A job with a wrong contract reports the problem of the contract, which is in the list already.
    for file in files:
        if file not in contracts:
            check = monitor_problems if is_monitor_file(file) else _check_job
            problems += [problem for problem in check(file) if problem not in problems]
    return problems


def _path(given: str | Path) -> Path:
    return Path(local_path(given, "PATH") if isinstance(given, str) else given)


def lint_contract(contract: Contract) -> list[str]:
    """Return the problems of a contract that can be read: missing descriptions, and a missing event time."""
    where = f"{contract.path}: {contract.event_type}"
    problems = []
    if not contract.description:
        problems.append(f"{where}: description: expected a sentence, got nothing; describe the event")
    for path, prop in walk(contract.properties):
        if not prop.description and path[-1] != ITEM:  # the array describes its items
            problems.append(
                f"{where}.{path_text(path)}: description: expected a sentence, got nothing; describe the property"
            )
    if contract.event_time is None and (times := _times(contract)):
        problem = f"expected one of {', '.join(times)}, got nothing"
        problems.append(f"{where}: eventTime: {problem}; name it, or events are placed by their arrival")
    return problems


def check_examples(contract: Contract, folder: Path) -> list[str]:
    """Return which examples of a contract are missing, or not accepted or rejected as their file name says.

    `folder` holds `<event type>.accepts.ndjson` and `<event type>.rejects.ndjson`, a record on each line;
    empty lines are skipped.
    """
    explain = compile_explainer({contract.event_type: contract}, None).explain
    problems = []
    for verdict, accepted in (("accepts", True), ("rejects", False)):
        path = folder / f"{contract.event_type}.{verdict}.ndjson"
        lines = enumerate(_read(path).split(b"\n"), 1)
        records = [(number, line) for number, line in lines if line.strip()]
        if not records:
            problems.append(
                f"{path}: expected an example on each line, got none; add one that the contract {verdict}"
            )
        for number, record in records:
            violations = explain(record).violations
            if accepted and violations:
                first = violations[0]
                details = f"{first.path or 'the record'}: expected {first.expected}, got {first.got}"
                problems.append(
                    f"{path}: line {number}: expected to be accepted, got {first.code}: {details}"
                )
            if not accepted and not violations:
                problems.append(
                    f"{path}: line {number}: expected to be rejected, got accepted; move or fix it"
                )
    return problems


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(path.rglob("*.yaml"))
    if not path.is_file():
        message = f"{path}: expected a contract, a job file or a folder of them, got nothing there"
        raise ConfigError(message)
    return [path]


def _check_domain(
    folder: Path, files: Iterable[Path], readable: list[Contract], notes: list[str]
) -> list[str]:
    """Return the problems of the contracts in a folder; add those that can be read to `readable`, and `notes`."""
    problems: list[str] = []
    for file in files:
        try:
            contracts = load_contracts(str(file), notes)
        except ConfigError as error:
            problems.append(str(error))
            continue
        readable += contracts.values()
        for contract in contracts.values():
            if contract.domain != folder.resolve().name:
                expected = folder.resolve().name
                problems.append(
                    f"{file}: domain: expected {expected}, as its folder, got {contract.domain!r}"
                )
            problems += lint_contract(contract)
            problems += check_examples(contract, folder / "examples")
    if not problems:
        try:
            load_contracts(str(folder))
        except ConfigError as error:  # names that two files use
            problems.append(str(error))
    return problems


def _check_job(file: Path) -> list[str]:
    """Check a job file and all its addresses; environment variables need not be set, their names stand in for them."""
    try:
        job = load_job(str(file), unused=[field.name for field in option_fields()])
    except ConfigError as error:
        return [str(error)]
    problems = []
    stores = [job.files, job.dead_letters, *([job.quarantine] if job.quarantine is not None else ())]
    checks = [
        (parse_source, job.source),
        (parse_warehouse, job.warehouse),
        *((open_store, url) for url in stores),
    ]
    for check, url in checks:
        try:
            check(url)
        except ConfigError as error:
            problems.append(str(error))
    return problems or job_problems(job)


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def _times(contract: Contract) -> list[str]:
    return [prop.name for prop in contract.properties if prop.type == "timestamp" and prop.required]
