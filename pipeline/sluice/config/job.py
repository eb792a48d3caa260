"""A job: YAML and flags in, one frozen and fully checked `Job` out, before Beam starts."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sluice.config.durations import limited_duration
from sluice.contracts import Contract, load_contracts
from sluice.errors import ConfigError

_VARIABLE = re.compile(r"\$\{(\w+)\}")
_MAX_SHARDS = 64
"""More writers of one minute than this never help: NNNN is shared among them."""


LOADS = ("events", "counts", "dead_letters")
"""What a warehouse can be sent; the files of the log hold events and dead letters in any case."""


@dataclass(frozen=True, slots=True)
class Windows:
    """How events are grouped in time. All durations are in seconds."""

    counts: float = field(
        default=10.0,
        metadata={"help": "width of the windows in which events are counted by type", "example": "10s"},
    )
    flush: float = field(
        default=10.0,
        metadata={"help": "live jobs: longest time an event waits before it is written", "example": "10s"},
    )
    allowed_lateness: float = field(
        default=7 * 86400.0,
        metadata={"help": "live jobs: older events are rejected as too_late", "example": "7d"},
    )
    max_skew: float = field(
        default=600.0,
        metadata={"help": "events further in the future are rejected as in_future", "example": "10m"},
    )
    shards: int = field(
        default=1,
        metadata={"help": "writers of one type and minute; fixed for the life of a log", "example": "1"},
    )


@dataclass(frozen=True, slots=True)
class Job:
    """Everything a run needs to know; URLs are as the user wrote them, contracts are compiled objects."""

    name: str = field(metadata={"help": "name of the job, kept in every dead letter"})
    contracts: Mapping[str, Contract] = field(
        metadata={"help": "folder of contracts, or one contract", "example": "schemas/backend_events"}
    )
    source: str = field(
        metadata={"help": "where records come from", "example": "'s3://bucket/history/*.json.gz'"}
    )
    files: str = field(
        metadata={"help": "folder of the log: time-sharded files", "example": "gs://bucket/output"}
    )
    warehouse: str = field(
        metadata={"help": "where tables are kept", "example": "duckdb:///out/warehouse.duckdb"}
    )
    dead_letters: str = field(
        metadata={"help": "folder where rejected records are kept", "example": "gs://bucket/dead_letters"}
    )
    route_by: str | None = field(
        default=None,
        metadata={"help": "property that names a record's event type; needed with several contracts"},
    )
    retry_for: float | None = field(
        default=None,
        metadata={
            "help": "how long a failing store or warehouse is tried again (default: live jobs 10m, others 0s)",
            "example": "10m",
        },
    )
    quarantine: str | None = field(
        default=None,
        metadata={
            "help": "folder of rejected records that cannot be searched for protected values"
            " (default: quarantine, below dead_letters)",
            "example": "gs://restricted-bucket/quarantine",
        },
    )
    privacy_key: str | None = field(
        default=None,
        metadata={
            "help": "secret of Google Secret Manager with the key of protected properties"
            " (default: the environment variable SLUICE_PRIVACY_KEY)",
            "example": "projects/my-project/secrets/sluice-privacy-key",
        },
    )
    load: tuple[str, ...] = field(
        default=LOADS,
        metadata={
            "help": f"what goes to the warehouse, of {', '.join(LOADS)} (default: all)",
            "example": "counts,dead_letters",
        },
    )
    windows: Windows = field(default_factory=Windows, metadata={"help": "see the keys below"})
    path: str = field(default="", metadata={"internal": True})


def option_fields(of: type[Job] | type[Windows] = Job) -> list[dataclasses.Field[Any]]:
    """Return the keys of a job file (or of its `windows`) with their help, in order."""
    return [each for each in dataclasses.fields(of) if not each.metadata.get("internal")]


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
    keys = _flatten(path, _read_yaml(path))
    for name, value in (overrides or {}).items():
        keys[name] = (value, f"--{name.replace('_', '-')}")
    windows: dict[str, Any] = {
        each.name: _window(each.name, *keys.pop(f"windows.{each.name}"))
        for each in option_fields(Windows)
        if f"windows.{each.name}" in keys
    }
    retry_for = limited_duration(*keys.pop("retry_for")) if "retry_for" in keys else None
    load = _load(*keys.pop("load")) if "load" in keys else LOADS
    texts = {name: _text(value, where, needed=name not in unused) for name, (value, where) in keys.items()}
    for required in ("name", "contracts", "source", "files", "warehouse", "dead_letters"):
        if required not in texts:
            message = (
                f"{path}: {required}: expected this key, got nothing; add it or pass --{_flag(required)}"
            )
            raise ConfigError(message)
    contracts = load_contracts(texts.pop("contracts"))
    if len(contracts) > 1 and "route_by" not in texts:
        types = ", ".join(sorted(contracts))
        message = f"{path}: route_by: expected the property that tells {types} apart, got nothing"
        raise ConfigError(message)
    event_time_from_arrival = [
        name for name, contract in contracts.items() if contract.event_time_from_arrival
    ]
    if event_time_from_arrival and len(contracts) > 1:
        expected = f"expected {event_time_from_arrival[0]} alone, whose event time is the arrival"
        message = f"{path}: contracts: {expected}, got {len(contracts)}"
        raise ConfigError(message)
    return Job(
        contracts=contracts, retry_for=retry_for, load=load, windows=Windows(**windows), path=path, **texts
    )


def with_contract(job: Job, path: str) -> Job:
    """Return `job` with the contracts of one more file (or folder), each in the place of its own of that event type.

    Raises:
        ConfigError: they are wrong, or the job cannot tell them from the others.

    """
    contracts = {**job.contracts, **load_contracts(path)}
    if len(contracts) > 1 and job.route_by is None:
        types = ", ".join(sorted(contracts))
        message = f"{job.path}: route_by: expected the property that tells {types} apart, got nothing"
        raise ConfigError(message)
    return dataclasses.replace(job, contracts=contracts)


def _flag(name: str) -> str:
    return name.replace("_", "-")


def _read_yaml(path: str) -> dict[str, Any]:
    try:
        document = yaml.safe_load(Path(path).read_text("utf-8"))
    except OSError as error:
        message = f"{path}: cannot read the job file: {error.strerror}"
        raise ConfigError(message) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        message = f"{path}: expected YAML, got: {' '.join(str(error).split())}"
        raise ConfigError(message) from error
    if not isinstance(document, dict):
        message = f"{path}: expected a mapping of keys such as name and source, got {type(document).__name__}"
        raise ConfigError(message)
    return document


def _flatten(path: str, document: dict[str, Any]) -> dict[str, tuple[Any, str]]:
    """Return `windows.counts`-style key -> (value, where it stands), refusing keys that do not exist."""
    windows = document.pop("windows", None) or {}
    if not isinstance(windows, dict):
        message = f"{path}: windows: expected a mapping such as {{counts: 10s}}, got {windows!r}"
        raise ConfigError(message)
    found = {str(key): value for key, value in document.items()}
    found |= {f"windows.{key}": value for key, value in windows.items()}
    known = list(option_keys())
    for key in found:
        if key not in known:
            message = f"{path}: {key}: unknown key; expected one of {', '.join(known)}"
            raise ConfigError(message)
    return {key: (value, f"{path}: {key}") for key, value in found.items()}


def _window(name: str, value: Any, where: str) -> float | int:
    if name != "shards":
        seconds = limited_duration(value, where)
        if name == "counts" and (seconds < 1 or 60 % seconds):  # noqa: PLR2004  a window must not cross a minute's file
            message = f"{where}: expected a whole part of a minute, such as 5s, 10s, 30s or 1m, got {value!r}"
            raise ConfigError(message)
        return seconds
    shards = int(value) if str(value).isascii() and str(value).isdigit() else 0
    if not 1 <= shards <= _MAX_SHARDS:
        message = f"{where}: expected a whole number from 1 to {_MAX_SHARDS}, got {value!r}"
        raise ConfigError(message)
    return shards


def _load(value: Any, where: str) -> tuple[str, ...]:
    """Read a list, or, as a flag gives it, its members with commas between them."""
    given = value.split(",") if isinstance(value, str) else value
    names = given if isinstance(given, list) else []
    if not ("events" in names or "counts" in names) or any(each not in LOADS for each in names):
        message = (
            f"{where}: expected a list of {', '.join(LOADS)}, among them events or counts; got {value!r}"
        )
        raise ConfigError(message)
    return tuple(each for each in LOADS if each in names)


def _text(value: Any, where: str, *, needed: bool) -> str:
    if not isinstance(value, str) or not value:
        message = f"{where}: expected text, got {value!r}"
        raise ConfigError(message)

    def variable(match: re.Match[str]) -> str:
        if needed and match[1] not in os.environ:
            message = f"{where}: expected the environment variable {match[1]}, got nothing; set it"
            raise ConfigError(message)
        return os.environ.get(match[1], match[1])

    return _VARIABLE.sub(variable, value)
