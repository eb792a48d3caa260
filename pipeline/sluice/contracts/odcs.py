"""Reads ODCS YAML strictly: a key that the standard does not know fails, at any depth, with its path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, get_args

from open_data_contract_standard.model import CustomProperty, OpenDataContractStandard
from pydantic import BaseModel, ValidationError

from sluice.contracts.yaml_reading import read_yaml
from sluice.errors import ContractError, quote

API_VERSION = "v3.2.0"

EARLIER_NAMES: Mapping[str, str] = {
    "folder": "logPartition",
    "protect": "mask",
    "salvage": "repair",
    "stamp": "eventTimeDefault",
}
"""Custom property as contracts called it before 0.1.0 -> its name."""


@dataclass(frozen=True, slots=True)
class KeyPath:
    """A place in the file of a contract, such as `schema[0].properties[2].enum`; no `keys` is the whole file."""

    file: str
    keys: str = ""

    def __str__(self) -> str:
        """Return file and keys, as messages begin."""
        return f"{self.file}: {self.keys}" if self.keys else self.file

    def key(self, name: str) -> KeyPath:
        """Return the place of a member."""
        return KeyPath(self.file, f"{self.keys}.{name}" if self.keys else name)

    def item(self, index: int) -> KeyPath:
        """Return the place of an item of a list."""
        return KeyPath(self.file, f"{self.keys}[{index}]")

    def fail(self, problem: str) -> NoReturn:
        """Raise ContractError: `problem` says what was expected here, what was found, and the fix."""
        message = f"{self}: {problem}"
        raise ContractError(message)


def parse_odcs(path: str) -> OpenDataContractStandard:
    """Read the file at `path`; raises ContractError naming file, key path (or line) and fix."""
    raw, root = _load_yaml(path), KeyPath(path)
    if not isinstance(raw, dict):
        root.fail(f"expected a data contract (ODCS {API_VERSION}), got {show(raw)}")
    _check_keys(root, OpenDataContractStandard, raw)
    try:
        return OpenDataContractStandard.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        place = root
        for part in first["loc"]:
            place = place.item(part) if isinstance(part, int) else place.key(part)
        place.fail(f"{first['msg'].lower()}, got {show(first['input'])}")


def _load_yaml(path: str) -> Any:
    try:
        return read_yaml(path, ContractError)
    except OSError as error:
        KeyPath(path).fail(f"expected a contract, got: {error.strerror}")


def show(value: object) -> str:
    """Return how messages quote a value: 'nothing' for None, else Python's literal, cut to 100 characters."""
    return "nothing" if value is None else quote(value)


def _check_keys(place: KeyPath, model: type[BaseModel], raw: Mapping[Any, Any]) -> None:
    """Refuse unknown keys at any depth: the ODCS model itself ignores them in nested objects."""
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    for key, value in raw.items():
        here = place.key(key)
        if key not in fields:
            here.fail(f"unknown key; expected one of {', '.join(sorted(fields))}")
        inner = list(_models(fields[key].annotation))
        if isinstance(value, dict) and inner:
            _check_keys(here, inner[0], value)
        elif isinstance(value, list) and inner:
            for index, item in enumerate(value):
                if isinstance(item, dict):
                    _check_keys(here.item(index), inner[-1], item)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def custom_properties(
    place: KeyPath, items: list[CustomProperty] | None, known: tuple[str, ...]
) -> dict[str, Any]:
    """Return the custom properties of the object at `place`, all of which must be `known`.

    An earlier name is read as the present one, since other teams own contracts, too.
    """
    custom: dict[str, Any] = {}
    for index, item in enumerate(items or ()):
        here = place.key("customProperties").item(index).key("property")
        name = EARLIER_NAMES.get(str(item.property), item.property)
        if name not in known:
            allowed = f"one of {', '.join(known)}" if known else "no custom properties here"
            here.fail(f"expected {allowed}, got {show(item.property)}")
        if name in custom:
            here.fail(f"{item.property!r} is given twice; remove one")
        custom[str(name)] = item.value
    return custom


def names(place: KeyPath, value: Any) -> tuple[str, ...]:
    """Return a list of names, or () for nothing."""
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        place.fail(f"expected a list of names, got {show(value)}")
    return tuple(value)


def choice(place: KeyPath, value: Any, allowed: tuple[Any, ...]) -> Any:
    """Return `value`, which must be one of `allowed`; None stays None."""
    if value is not None and value not in allowed:
        place.fail(f"expected one of {', '.join(allowed)}, got {show(value)}")
    return value
