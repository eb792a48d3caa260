"""Reads ODCS YAML strictly: a key that the standard does not know fails, at any depth, with its path.

A key that the standard knows and Sluice does nothing with is noted, so that nobody relies on it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from types import NoneType, UnionType
from typing import Any, NoReturn, TypeVar, get_args, get_origin

import msgspec

from sluice.contracts.odcs_document import CustomProperty, DataContract
from sluice.contracts.yaml_reading import read_yaml
from sluice.errors import ContractError, alternatives, quote, similar_name

API_VERSION = "v3.2.0"
"""What contracts of Sluice are written in."""

_API_VERSIONS = re.compile(r"v3\.[0-2]\.[0-9]+")

_NOT_CHECKED = {
    "database", "encryptedName", "partitionKeyPosition", "partitioned", "primaryKey", "primaryKeyPosition", "quality",
    "roles", "servers", "slaDefaultElement", "slaProperties", "transformLogic", "transformSourceObjects",
}  # fmt: skip
"""Keys of ODCS that Sluice does nothing with, and of which somebody could believe that it does. The others, such as
`tags`, `team` and `price`, only describe the data."""

_DESCRIBING = frozenset(
    {
        "authoritativeDefinitions", "context", "price", "quality", "roles", "servers", "slaProperties", "support",
        "synonyms", "team",
    }
)  # fmt: skip
"""Keys whose members only describe the data, in ODCS and in the words of other tools: they are not searched."""

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
    notes: list[str] = field(default_factory=list, compare=False, repr=False)
    """What the places of a file are to be told of, a line each; one list for all of them."""

    def __str__(self) -> str:
        """Return file and keys, as messages begin."""
        return f"{self.file}: {self.keys}" if self.keys else self.file

    def key(self, name: str) -> KeyPath:
        """Return the place of a member."""
        return KeyPath(self.file, f"{self.keys}.{name}" if self.keys else name, self.notes)

    def item(self, index: int) -> KeyPath:
        """Return the place of an item of a list."""
        return KeyPath(self.file, f"{self.keys}[{index}]", self.notes)

    def note(self, text: str) -> None:
        """Add a note about this place: what of it has no effect, or which other one than a reader may think."""
        self.notes.append(f"{self}: {text}")

    def fail(self, problem: str) -> NoReturn:
        """Raise ContractError: `problem` says what was expected here, what was found, and the fix."""
        message = f"{self}: {problem}"
        raise ContractError(message)


Object = TypeVar("Object", bound=msgspec.Struct)


def parse_odcs(root: KeyPath) -> DataContract:
    """Read the file at `root`, and note what of it is not used.

    Raises:
        ContractError: naming file, key path (or line) and fix.

    """
    raw = _load_yaml(root)
    if not isinstance(raw, dict):
        root.fail(f"expected a data contract (ODCS {API_VERSION}), got {show(raw)}")
    version = raw.get("apiVersion")
    if not isinstance(version, str) or not _API_VERSIONS.fullmatch(version):
        root.key("apiVersion").fail(f"expected v3.0, v3.1 or v3.2, as in {API_VERSION}, got {show(version)}")
    document = _object(root, raw, DataContract)
    for key, place in _not_checked(root, raw).items():
        place.note(f"{key} is not used by Sluice")
    return document


def _load_yaml(root: KeyPath) -> Any:
    try:
        return read_yaml(root.file, ContractError)
    except OSError as error:
        root.fail(f"expected a contract, got: {error.strerror}")


def _object(place: KeyPath, raw: Any, model: type[Object]) -> Object:
    """Return the object at `place`, which has no key but those of `model`."""
    if not isinstance(raw, dict):
        place.fail(f"expected keys and values, got {show(raw)}")
    fields = _fields(model)
    members = {}
    for key, value in raw.items():
        here = place.key(key)
        if key not in fields:
            here.fail(f"unknown key; {alternatives(key, sorted(fields))}")
        name, annotation = fields[key]
        members[name] = None if value is None else _value(here, value, annotation)
    return model(**members)


@cache
def _fields(model: type[msgspec.Struct]) -> Mapping[str, tuple[str, Any]]:
    """Return the keys of an object, with the name and the type of the field of each."""
    return {field.encode_name: (field.name, field.type) for field in msgspec.structs.fields(model)}


def _value(place: KeyPath, value: Any, annotation: Any) -> Any:
    """Return a value of one of the types of `odcs_document`."""
    if annotation is Any:
        return value
    if isinstance(annotation, UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not NoneType]
        fitting = [kind for kind in kinds if isinstance(value, get_origin(kind) or kind)]
        return _value(place, value, (fitting or kinds)[0])
    if get_origin(annotation) is list:
        if not isinstance(value, list):
            place.fail(f"expected a list, got {show(value)}")
        (item_type,) = get_args(annotation)
        return [_value(place.item(index), item, item_type) for index, item in enumerate(value)]
    if get_origin(annotation) is dict:
        if not isinstance(value, dict):
            place.fail(f"expected keys and values, got {show(value)}")
        return value
    return _scalar(place, value, annotation) if annotation in _SCALARS else _object(place, value, annotation)


_SCALARS: Mapping[Any, str] = {bool: "true or false", int: "an integer", str: "a text"}


def _scalar(place: KeyPath, value: Any, expected: type) -> Any:
    """Return a scalar; other tools write booleans and integers as texts, too."""
    if type(value) is expected:
        return value
    if expected is bool and isinstance(value, str) and value.lower() in _BOOLEANS:
        return _BOOLEANS[value.lower()]
    if expected is int and _INTEGER.fullmatch(str(value)):
        return int(str(value).removesuffix(".0"))
    place.fail(f"expected {_SCALARS[expected]}, got {show(value)}")


_BOOLEANS: Mapping[str, bool] = {
    "true": True,
    "yes": True,
    "on": True,
    "false": False,
    "no": False,
    "off": False,
}
_INTEGER = re.compile(r"[+-]?[0-9]+(\.0)?")


def _not_checked(place: KeyPath, value: Any) -> dict[str, KeyPath]:
    """Return each key that Sluice does nothing with, and the first place of it."""
    first: dict[str, KeyPath] = {}
    if isinstance(value, dict):
        for key, member in value.items():
            here = place.key(key)
            if key in _NOT_CHECKED and member not in (None, False, -1, [], ""):
                first.setdefault(key, here)
            elif key != "customProperties":  # has names of other tools
                first = _not_checked(here, member) | first
    elif isinstance(value, list):
        for index, item in enumerate(value):
            first = _not_checked(place.item(index), item) | first
    return first


def show(value: object) -> str:
    """Return how messages quote a value: 'nothing' for None, else Python's literal, cut to 100 characters."""
    return "nothing" if value is None else quote(value)


def custom_properties(
    place: KeyPath, items: list[CustomProperty] | None, known: tuple[str, ...]
) -> dict[str, Any]:
    """Return the custom properties of the object at `place` that are `known`; others are of other tools, and noted.

    An earlier name is read as the present one, since other teams own contracts, too. A name that may be a misspelling
    of a known one fails.
    """
    custom: dict[str, Any] = {}
    for index, item in enumerate(items or ()):
        here = place.key("customProperties").item(index).key("property")
        name = EARLIER_NAMES.get(str(item.property), item.property)
        if name not in known:
            if similar_name(name, known) is not None:
                here.fail(f"{show(item.property)} is not known; {alternatives(name, known)}")
            here.note(f"{item.property} is not used by Sluice")
            continue
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
