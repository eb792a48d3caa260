"""Reads ODCS YAML strictly: a key that the standard does not know fails, at any depth, with its path."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any, NoReturn, get_args

import yaml
from open_data_contract_standard.model import CustomProperty, OpenDataContractStandard
from pydantic import BaseModel, ValidationError

from sluice.errors import ContractError

API_VERSION = "v3.2.0"

EARLIER_NAMES: Mapping[str, str] = {
    "folder": "logPartition",
    "protect": "mask",
    "salvage": "repair",
    "stamp": "eventTimeDefault",
}
"""Custom property as contracts called it before 0.1.0 -> its name."""


def fail(path: str, where: str, what: str) -> NoReturn:
    """Raise ContractError: `path` is the file, `where` the key path in it ('' for all of it)."""
    message = f"{path}: {where}: {what}" if where else f"{path}: {what}"
    raise ContractError(message)


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice, of which PyYAML would silently drop one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                problem = f"the key {key.value!r} is given twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else None)
        return super().construct_mapping(node, deep)


def parse_odcs(path: str) -> OpenDataContractStandard:
    """Read the file at `path`; raises ContractError naming file, key path (or line) and fix."""
    try:
        with open(path, encoding="utf-8") as file:
            raw = yaml.load(file, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        fail(path, place, f"expected YAML, got a mistake: {error.problem}")
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        fail(path, "", f"expected YAML in UTF-8, got a mistake: {str(error).splitlines()[0]}")
    except OSError as error:
        fail(path, "", f"expected a contract, got: {error.strerror}")
    if not isinstance(raw, dict):
        fail(path, "", f"expected a data contract (ODCS {API_VERSION}), got {show(raw)}")
    _check_keys(path, "", OpenDataContractStandard, raw)
    try:
        return OpenDataContractStandard.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        fail(path, where.lstrip("."), f"{first['msg'].lower()}, got {show(first['input'])}")


def show(value: object) -> str:
    """Return how messages quote a value: 'nothing' for None, else Python's literal, cut to 100 characters."""
    return "nothing" if value is None else repr(value)[:100]


def _check_keys(path: str, where: str, model: type[BaseModel], raw: Mapping[Any, Any]) -> None:
    """Refuse unknown keys at any depth: the ODCS model itself lets them pass in nested objects."""
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    for key, value in raw.items():
        here = f"{where}.{key}".lstrip(".")
        if key not in fields:
            fail(path, here, f"unknown key; expected one of {', '.join(sorted(fields))}")
        inner = list(_models(fields[key].annotation))
        if isinstance(value, dict) and inner:
            _check_keys(path, here, inner[0], value)
        elif isinstance(value, list) and inner:
            for index, item in enumerate(value):
                if isinstance(item, dict):
                    _check_keys(path, f"{here}[{index}]", inner[-1], item)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def custom_properties(
    path: str, where: str, given: list[CustomProperty] | None, known: tuple[str, ...]
) -> dict[str, Any]:
    """Return the custom properties under the key path `where`, all of which must be `known`.

    Those with an earlier name are taken for what they are called now, since contracts belong to other teams, too.
    """
    custom: dict[str, Any] = {}
    for index, item in enumerate(given or ()):
        here = f"{where}.customProperties[{index}].property".lstrip(".")
        name = EARLIER_NAMES.get(str(item.property), item.property)
        if name not in known:
            allowed = f"one of {', '.join(known)}" if known else "no custom properties here"
            fail(path, here, f"expected {allowed}, got {show(item.property)}")
        if name in custom:
            fail(path, here, f"{item.property!r} is given twice; remove one")
        custom[str(name)] = item.value
    return custom


def names(path: str, where: str, value: Any) -> tuple[str, ...]:
    """Return a list of names, or () for nothing."""
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        fail(path, where, f"expected a list of names, got {show(value)}")
    return tuple(value)


def choice(path: str, where: str, value: Any, allowed: tuple[Any, ...]) -> Any:
    """Return `value`, which must be one of `allowed`; None stays None."""
    if value is not None and value not in allowed:
        fail(path, where, f"expected one of {', '.join(allowed)}, got {show(value)}")
    return value


def rules(
    path: str, where: str, value: Any, known: Iterable[str], columns: Iterable[str]
) -> tuple[tuple[str, str | None], ...]:
    """Return a list of rules: names of `known` ones, or `{name: …, pattern: …}` with groups named as columns."""
    found: dict[str, str | None] = {}
    if value is not None and not isinstance(value, list):
        fail(path, where, f"expected a list of rules, got {show(value)}")
    for index, rule in enumerate(value or ()):
        here = f"{where}[{index}]"
        own = isinstance(rule, dict) and set(rule) == {"name", "pattern"}
        name, pattern = (rule["name"], rule["pattern"]) if own else (rule, None)
        if not isinstance(name, str) or own == (name in known):
            allowed = f"one of {', '.join(known)}, or name and pattern of a rule with another name"
            fail(path, here, f"expected {allowed}, got {show(rule)}")
        if name in found:
            fail(path, here, f"{name!r} is listed twice; remove one")
        try:
            groups = set(re.compile(str(pattern)).groupindex) if own else {*columns}
        except re.error as error:
            fail(path, f"{here}.pattern", f"expected a regular expression, got {show(pattern)}: {error}")
        if not groups or not groups <= {*columns}:
            expected = f"expected groups, named as some of {', '.join(columns)}"
            fail(path, f"{here}.pattern", f"{expected}; got {', '.join(sorted(groups)) or 'none'}")
        found[name] = pattern
    return tuple(found.items())
