"""Monitor files: YAML in, one checked `Monitor` out, before anything is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sluice.config.options import check_keys, declared, missing_options, text
from sluice.config.variables import expand_variables, unset_variables
from sluice.contracts.yaml_reading import read_mapping, read_yaml
from sluice.errors import ConfigError, alternatives, quote
from sluice.tooling.monitors.checks import CHECKS, Check, ErrorRateCheck, Monitor, VolumeCheck, name
from sluice.warehouses import WAREHOUSES

_KEYS = ("name", "job", "warehouse", "tables", "variables", "warehouse_variables", "checks", "alerts")

FOLDER = "monitors"
"""A YAML file in a folder of this name is a monitor, whatever it holds."""


def is_monitor_file(path: Path) -> bool:
    """Tell whether a YAML file is meant as a monitor: it has checks, or lies in a folder of monitors."""
    if path.resolve().parent.name == FOLDER:
        return True
    try:
        document = read_yaml(str(path), ConfigError)
    except (ConfigError, OSError):
        return False
    return isinstance(document, dict) and "checks" in document


def load_monitor(path: str) -> Monitor:
    """Read a monitor file and check it all.

    Raises:
        ConfigError: naming the file, the key, what was expected and what came.

    """
    document = read_mapping(path, "monitor file", "name and checks")
    check_keys(document, _KEYS, path)
    values = _parse(Monitor, document, path)
    values |= {
        key: _texts(document[key], f"{path}: {key}") for key in ("tables", "variables") if key in document
    }
    if "warehouse_variables" in document:
        values["warehouse_variables"] = _by_warehouse(
            document["warehouse_variables"], f"{path}: warehouse_variables"
        )
    monitor = Monitor(
        path=path, checks=_checks(document.get("checks"), path), alerts=document.get("alerts"), **values
    )
    _check_sources(monitor)
    return monitor


def expand(monitor: Monitor, value: str, where: str, *, needed: bool = True) -> str:
    """Return a text of the file with the values of its variables.

    Raises:
        ConfigError: a variable is not set, has no value in `variables`, and is `needed`.

    """
    for variable in unset_variables(value):
        if variable in monitor.variables:
            value = value.replace(f"${{{variable}}}", monitor.variables[variable])
    expanded = expand_variables(value, where, needed=needed)
    return str(expanded)


def _parse(of: type, given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return name -> value of the options that a dataclass declares and a mapping holds."""
    values = {
        option.name: option.metadata["parse"](given[option.name], f"{where}: {option.name}")
        for option in declared(of)
        if option.name in given
    }
    for required in missing_options(declared(of), values):
        message = f"{where}: {required}: expected this key, got nothing; add it"
        raise ConfigError(message)
    return values


def _texts(value: Any, where: str) -> dict[str, str]:
    if not isinstance(value, dict):
        message = f"{where}: expected a mapping of names and texts, got {quote(value)}"
        raise ConfigError(message)
    return {name(key, where): text(member, f"{where}: {key}") for key, member in value.items()}


def _by_warehouse(value: Any, where: str) -> dict[str, dict[str, str]]:
    if not isinstance(value, dict):
        message = f"{where}: expected a mapping of warehouses and their variables, got {quote(value)}"
        raise ConfigError(message)
    check_keys(value, list(WAREHOUSES), where)
    return {warehouse: _texts(given, f"{where}: {warehouse}") for warehouse, given in value.items()}


def _checks(value: Any, path: str) -> tuple[Check, ...]:
    if not isinstance(value, list) or not value:
        message = f"{path}: checks: expected a list of checks, got {quote(value)}"
        raise ConfigError(message)
    checks = tuple(_check(member, f"{path}: checks[{number}]") for number, member in enumerate(value))
    for check, count in Counter(check.name for check in checks).items():
        if count > 1:
            message = f"{path}: checks: expected a name of its own for each check, got {quote(check)} twice"
            raise ConfigError(message)
    return checks


def _check(value: Any, where: str) -> Check:
    if not isinstance(value, dict):
        message = f"{where}: expected a mapping with name and type, got {quote(value)}"
        raise ConfigError(message)
    kind = value.get("type")
    of = CHECKS.get(kind) if isinstance(kind, str) else None
    if of is None:
        message = f"{where}: type: unknown type {quote(kind)}; {alternatives(kind, list(CHECKS))}"
        raise ConfigError(message)
    given = {key: member for key, member in value.items() if key != "type"}
    check_keys(given, [option.name for option in declared(of)], where)
    check = of(**_parse(of, given, where))
    _check_limits(check, where)
    return check


def _check_limits(check: Check, where: str) -> None:
    """Raise ConfigError if a check could never find anything."""
    limits: Mapping[type, tuple[str, ...]] = {
        VolumeCheck: ("at_least", "at_most"),
        ErrorRateCheck: ("at_most", "times_average"),
    }
    keys = limits.get(type(check), ())
    if keys and all(getattr(check, key) is None for key in keys):
        message = f"{where}: expected at least one of {', '.join(keys)}, got none; add one"
        raise ConfigError(message)


def _check_sources(monitor: Monitor) -> None:
    """Raise ConfigError if there is nothing to ask, or two things."""
    has_warehouse = monitor.job is not None or monitor.warehouse is not None
    if bool(monitor.tables) == has_warehouse:
        got = "both" if has_warehouse else "neither"
        message = f"{monitor.path}: expected either tables, or job or warehouse, got {got}"
        raise ConfigError(message)
    if monitor.job is None:
        for number, check in enumerate(monitor.checks):
            if check.type == "drift":
                where = f"{monitor.path}: checks[{number}]"
                message = f"{where}: expected a job, whose tables are compared, got none; add job"
                raise ConfigError(message)
