"""A job: YAML and flags in, one frozen and fully checked `Job` out, before Beam starts."""

from __future__ import annotations

import dataclasses
import glob
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any
from urllib.parse import quote as percent_encode
from urllib.parse import unquote

from sluice.addresses import STANDARD_INPUT
from sluice.config.durations import duration
from sluice.config.options import Parser, check_keys, declared, local_path, missing_options, option, text
from sluice.config.rejections import RejectionLimit, rejection_limit
from sluice.config.urls import Url
from sluice.config.variables import expand_variables
from sluice.contracts import Contract, load_contracts
from sluice.contracts.names import fold_name, masked_names
from sluice.contracts.yaml_reading import read_mapping
from sluice.errors import ConfigError, quote

RELATIVE_TO = "relative_to"
"""Key of a job file: to what its paths are relative, `job` for its own folder; without it, the working directory."""

_PLACES = ("contracts", "source", "files", "warehouse", "dead_letters", "quarantine")
"""Keys that may be paths."""

_LOCAL = re.compile(r"((?:duckdb|sqlite):///)?(.*)", re.DOTALL)
"""What stands before the path of a warehouse in a file, and a path."""

_DEAD_LETTERS = re.compile(r"(dead-letters:)([^?#]*)(.*)", re.DOTALL)
"""A source of dead letters: its scheme, its percent-encoded folder, and its options."""

_QUARANTINE = re.compile(r"([?&]quarantine=)([^&#]*)")
"""The option that has a folder, too."""

_MAX_SHARDS = 64
"""More writers of one minute than this never help: NNNN is shared among them."""


LOADS = ("events", "counts", "dead_letters", "sources")
"""What a warehouse can be sent; the files of the log hold events and dead letters in any case."""


def _whole_part_of_a_minute(value: Any, where: str) -> float:
    seconds = duration(value, where)
    if seconds < 1 or 60 % seconds:  # noqa: PLR2004  a window must not cross a minute's file
        message = (
            f"{where}: expected a whole part of a minute, such as 5s, 10s, 30s or 1m, got {quote(value)}"
        )
        raise ConfigError(message)
    return seconds


def _shards(value: Any, where: str) -> int:
    shards = int(value) if re.fullmatch("[0-9]{1,9}", str(value)) else 0
    if not 1 <= shards <= _MAX_SHARDS:
        message = f"{where}: expected a whole number from 1 to {_MAX_SHARDS}, got {quote(value)}"
        raise ConfigError(message)
    return shards


def _url(value: Any, where: str) -> Url:
    return Url(text(value, where), where=where)


def _loads(value: Any, where: str) -> tuple[str, ...]:
    """Read a list, or, as a flag gives it, its members with commas between them."""
    names = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else []
    if not ("events" in names or "counts" in names) or any(name not in LOADS for name in names):
        texts = isinstance(value, list) and value and all(isinstance(name, str) for name in value)
        given = ", ".join(value) if texts else value
        message = (
            f"{where}: expected a list of {', '.join(LOADS)}, among them events or counts; got {quote(given)}"
        )
        raise ConfigError(message)
    return tuple(name for name in LOADS if name in names)


def _names(value: Any, where: str) -> tuple[str, ...]:
    """Read a list of names, or, as a flag gives it, names with commas between them."""
    given = value.split(",") if isinstance(value, str) else value
    if not isinstance(given, list) or not all(isinstance(name, str) and name.strip() for name in given):
        message = f"{where}: expected a list of names, such as [trace_id, kafka.key], got {quote(value)}"
        raise ConfigError(message)
    return tuple(name.strip() for name in given)


@dataclass(frozen=True, slots=True)
class Windows:
    """How events are grouped in time. All durations are in seconds."""

    counts: float = option(
        "width of the windows in which events are counted by type",
        default="10s",
        example="10s",
        parse=_whole_part_of_a_minute,
    )
    flush: float = option(
        "streaming jobs: longest time that an event waits before it is written",
        default="10s",
        example="10s",
        parse=duration,
    )
    allowed_lateness: float = option(
        "streaming jobs: older events are rejected as too_late",
        default="7d",
        example="7d",
        parse=duration,
    )
    max_skew: float = option(
        "events further in the future are rejected as in_future",
        default="10m",
        example="10m",
        parse=duration,
    )
    shards: int = option(
        "writers of one type and minute; fixed for the life of a log", default="1", example="1", parse=_shards
    )
    given: frozenset[str] = field(default=frozenset(), compare=False, metadata={"internal": True})
    """Names of the keys that the job file or a flag sets."""


@dataclass(frozen=True, slots=True)
class Job:
    """Everything a run needs to know; addresses print without their secrets, contracts are compiled objects."""

    name: str = option("name of the job, kept in every dead letter")
    contracts: Mapping[str, Contract] = option(
        "folder of contracts, or one contract", example="schemas/backend_events", parse=local_path
    )
    source: Url = option("where records come from", example="'s3://bucket/history/*.json.gz'", parse=_url)
    files: Url = option(
        "folder of the event log: time-sharded files", example="gs://bucket/output", parse=_url
    )
    warehouse: Url = option("where tables are kept", example="duckdb:///out/warehouse.duckdb", parse=_url)
    dead_letters: Url = option(
        "folder where rejected records are kept", example="gs://bucket/dead_letters", parse=_url
    )
    route_by: str | None = option(
        "property that names a record's event type; needed with several contracts", default=None
    )
    retry_for: float | None = option(
        "how long a failing store or warehouse is tried again (default: streaming jobs 10m, others 0s,"
        " or 10m if a warehouse limits the rate)",
        default=None,
        example="10m",
        parse=duration,
    )
    quarantine: Url | None = option(
        "folder of rejected records that cannot be searched for masked values"
        " (default: quarantine, below dead_letters)",
        default=None,
        example="gs://restricted-bucket/quarantine",
        parse=_url,
    )
    privacy_key: str | None = option(
        "secret of Google Secret Manager with the key of masked properties"
        " (default: the environment variable SLUICE_PRIVACY_KEY)",
        default=None,
        example="projects/my-project/secrets/sluice-privacy-key",
    )
    safe_attributes: tuple[str, ...] = option(
        "keys, headers and attributes that hold no personal data: dead letters keep them although a contract masks"
        " values (default: none)",
        default=(),
        example="[trace_id, kafka.key]",
        parse=_names,
    )
    load: tuple[str, ...] = option(
        f"what goes to the warehouse, of {', '.join(LOADS)} (default: all)",
        default=",".join(LOADS),
        example="counts,dead_letters",
        parse=_loads,
    )
    max_rejected: RejectionLimit | None = option(
        "records that may be rejected before the run fails, as a share or a number (default: all but one)",
        default=None,
        example="5%",
        parse=rejection_limit,
    )
    windows: Windows = field(default_factory=Windows, metadata={"help": "see the keys below"})
    path: str = field(default="", metadata={"internal": True})


def option_fields(of: type[Job] | type[Windows] = Job) -> list[dataclasses.Field[Any]]:
    """Return the keys of a job file (or of its `windows`) with their help, in order."""
    return [field for field in dataclasses.fields(of) if not field.metadata.get("internal")]


def option_keys() -> dict[str, dataclasses.Field[Any]]:
    """Return key -> field, in order, with the keys of `windows` as `windows.counts` and so on."""
    keys = {field.name: field for field in option_fields() if field.name != "windows"}
    return keys | {f"windows.{field.name}": field for field in option_fields(Windows)}


def load_job(path: str, overrides: Mapping[str, str] | None = None, unused: Collection[str] = ()) -> Job:
    """Read a job file, put `overrides` (flag name such as `windows.counts` -> text) over it, and check it all.

    Environment variables in keys that are `unused` need not be set: their names stand in for them.

    Raises:
        ConfigError: naming the file or flag, the key, what was expected and what came.

    """
    document = read_mapping(local_path(path, "JOB"), "job file", "name and source")
    folder = _folder_of_paths(path, document)
    keys = _flatten(path, document)
    for name, value in (overrides or {}).items():
        keys[name] = (value, f"--{name.replace('_', '-')}")
    relative = {name: folder for name in set(_PLACES) - set(overrides or {})} if folder else {}
    values = _parse(Job, "", keys, unused, relative)
    for required in missing_options(declared(Job), values):
        message = f"{path}: {required}: expected this key, got nothing; add it or pass --{_flag(required)}"
        raise ConfigError(message)
    contracts = load_contracts(values.pop("contracts"))
    windows = _parse(Windows, "windows.", keys, unused)
    job = Job(contracts=contracts, windows=Windows(**windows, given=frozenset(windows)), path=path, **values)
    _check_contracts(job)
    return job


def _folder_of_paths(path: str, document: dict[str, Any]) -> str:
    """Take `relative_to` out of a job file, and return the folder to which its paths are relative, '' for this one."""
    place = document.pop(RELATIVE_TO, None)
    if place not in (None, "job"):
        message = f"{path}: {RELATIVE_TO}: expected job, or no such key, got {quote(place)}"
        raise ConfigError(message)
    return os.path.dirname(path) if place else ""


def _parse(
    of: type[Job] | type[Windows],
    prefix: str,
    keys: Mapping[str, tuple[Any, str]],
    unused: Collection[str],
    relative: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return field name -> value of the declared options that are among `keys`, whose names begin with `prefix`.

    `relative` has the folder to which the paths of a key are relative.
    """
    values = {}
    for option_field in declared(of):
        name = f"{prefix}{option_field.name}"
        if name in keys:
            value, where = keys[name]
            parse = option_field.metadata["parse"]
            if name in relative:
                parse = _below(relative[name], name, parse)
            values[option_field.name] = _parse_expanded(parse, value, where, needed=name not in unused)
    return values


def _below(folder: str, name: str, parse: Parser) -> Parser:
    """Return the parser of the key `name` whose paths, if they are relative, are those of files below `folder`."""
    below = _source_below if name == "source" else _place_below

    def parse_below(value: Any, where: str) -> Any:
        return parse(below(folder, value) if isinstance(value, str) and value else value, where)

    return parse_below


def _place_below(folder: str, value: str) -> str:
    scheme, place = _LOCAL.match(value).groups(default="")  # type: ignore[union-attr]  # it matches any text
    if ("://" in value and not scheme) or os.path.isabs(place):
        return value
    return str(scheme + os.path.normpath(os.path.join(folder, place)))


def _source_below(folder: str, value: str) -> str:
    if value == STANDARD_INPUT:
        return value
    if dead_letters := _DEAD_LETTERS.fullmatch(value):
        scheme, place, options = dead_letters.groups()
        options = _QUARANTINE.sub(lambda option: option[1] + _encoded_below(folder, option[2]), options)
        return f"{scheme}{_encoded_below(folder, place)}{options}"
    path = _place_below(folder, value)
    if path == value or os.path.lexists(path):  # what exists is read by its name, not as a pattern
        return path
    return _place_below(glob.escape(folder), value)


def _encoded_below(folder: str, place: str) -> str:
    """Return a percent-encoded place, below `folder` if it is a relative path."""
    decoded = unquote(place)
    below = _place_below(folder, decoded) if decoded else decoded
    return place if below == decoded else percent_encode(below)


def _parse_expanded(parse: Parser, value: Any, where: str, *, needed: bool) -> Any:
    """Parse a value with its environment variables; messages quote it as it is written: they may hold secrets."""
    expanded = expand_variables(value, where, needed=needed)
    try:
        return parse(expanded, where)
    except ConfigError:
        if expanded == value:
            raise
    parse(value, where)
    message = f"{where}: expected another value than that of {quote(value)}"
    raise ConfigError(message)


def _check_contracts(job: Job) -> None:
    """Raise ConfigError if the job has no contract, or cannot tell them apart, or one must be its only one."""
    if not job.contracts:
        message = f"{job.path}: contracts: expected an event type with properties, got none"
        raise ConfigError(message)
    if len(job.contracts) > 1 and job.route_by is None:
        types = ", ".join(sorted(job.contracts))
        message = f"{job.path}: route_by: expected the property that tells {types} apart, got nothing"
        raise ConfigError(message)
    _check_safe_attributes(job)
    filled = [name for name, contract in job.contracts.items() if contract.from_source]
    if filled and len(job.contracts) > 1:
        message = (
            f"{job.path}: contracts: expected {filled[0]} alone, which has properties with `fromSource`, "
            f"got {len(job.contracts)}"
        )
        raise ConfigError(message)
    alone = [name for name, contract in job.contracts.items() if contract.event_time_from_arrival]
    if alone and len(job.contracts) > 1:
        message = (
            f"{job.path}: contracts: expected {alone[0]} alone, whose event time is the arrival, "
            f"got {len(job.contracts)}"
        )
        raise ConfigError(message)


def _check_safe_attributes(job: Job) -> None:
    """Raise ConfigError if an attribute that should be safe has the name of a masked property."""
    for contract in job.contracts.values():
        masked = {name for name, _ in masked_names(contract)}
        for name in job.safe_attributes:
            if fold_name(name) in masked:
                message = (
                    f"{job.path}: safe_attributes: expected attributes without personal data, got {quote(name)}, "
                    f"a property that {contract.label} masks; remove it"
                )
                raise ConfigError(message)


def with_contract(job: Job, path: str) -> Job:
    """Return `job` with the contracts of one more file (or folder), each in the place of its own of that event type.

    Raises:
        ConfigError: they are wrong, or the job cannot tell them from the others.

    """
    given = load_contracts(local_path(path, "--set: contract"))
    changed = dataclasses.replace(job, contracts={**job.contracts, **given})
    _check_contracts(changed)
    return changed


def _flag(name: str) -> str:
    return name.replace("_", "-")


def _flatten(path: str, document: dict[str, Any]) -> dict[str, tuple[Any, str]]:
    """Return `windows.counts`-style key -> (value, where it stands), and reject keys that do not exist."""
    windows = document.pop("windows", None) or {}
    if not isinstance(windows, dict):
        message = f"{path}: windows: expected a mapping such as {{counts: 10s}}, got {quote(windows)}"
        raise ConfigError(message)
    entries = {str(key): value for key, value in document.items()}
    entries |= {f"windows.{key}": value for key, value in windows.items()}
    check_keys(entries, [*option_keys(), RELATIVE_TO], path)
    return {key: (value, f"{path}: {key}") for key, value in entries.items()}
