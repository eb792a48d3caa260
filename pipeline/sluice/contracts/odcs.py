"""Reads ODCS YAML strictly: a key that the standard does not know fails, at any depth, with its path.

A key that the standard knows and Sluice does nothing with is noted, so that nobody relies on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, get_args

from sluice.contracts.yaml_reading import read_yaml
from sluice.errors import ContractError, alternatives, quote, similar_name

if TYPE_CHECKING:  # slow to import, and a command without contracts, or a worker, needs neither
    from open_data_contract_standard.model import CustomProperty, OpenDataContractStandard
    from pydantic import BaseModel

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


def parse_odcs(root: KeyPath) -> OpenDataContractStandard:
    """Read the file at `root`, and note what of it is not used.

    Raises:
        ContractError: naming file, key path (or line) and fix.

    """
    from open_data_contract_standard.model import OpenDataContractStandard
    from pydantic import ValidationError

    raw = _load_yaml(root)
    if not isinstance(raw, dict):
        root.fail(f"expected a data contract (ODCS {API_VERSION}), got {show(raw)}")
    version = raw.get("apiVersion")
    if not isinstance(version, str) or not _API_VERSIONS.fullmatch(version):
        root.key("apiVersion").fail(f"expected v3.0, v3.1 or v3.2, as in {API_VERSION}, got {show(version)}")
    _check_keys(root, OpenDataContractStandard, raw)
    try:
        document = OpenDataContractStandard.model_validate(_used(raw))
    except ValidationError as error:
        # Where a value may be of several kinds, the one that fits best fails furthest inside.
        first = max(error.errors(), key=lambda problem: len(problem["loc"]))
        place = _place(root, raw, first["loc"])
        place.fail(f"expected {_EXPECTED.get(first['type'], 'another value')}, got {show(first['input'])}")
    for key, place in _not_checked(root, raw).items():
        place.note(f"{key} is not used by Sluice")
    return document


_EXPECTED = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dict_type": "keys and values",
    "int_from_float": "an integer",
    "int_parsing": "an integer",
    "int_type": "an integer",
    "list_type": "a list",
    "model_type": "keys and values",
    "missing": "a value",
    "string_type": "a text",
}
"""Kind of error of the ODCS model -> what it wants."""


def _load_yaml(root: KeyPath) -> Any:
    try:
        return read_yaml(root.file, ContractError)
    except OSError as error:
        root.fail(f"expected a contract, got: {error.strerror}")


def _place(place: KeyPath, value: Any, location: Sequence[int | str]) -> KeyPath:
    """Return the place in the file that pydantic means, which adds names of its own types to the keys."""
    for part in location:
        if isinstance(value, dict) and part in value:
            place, value = place.key(str(part)), value[part]
        elif isinstance(value, list) and isinstance(part, int):
            place, value = place.item(part), value[part]
    return place


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


def _check_keys(place: KeyPath, model: type[BaseModel], raw: Mapping[Any, Any]) -> None:
    """Refuse unknown keys at any depth: the ODCS model itself ignores them in nested objects."""
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    for key, value in raw.items():
        here = place.key(key)
        if key not in fields:
            here.fail(f"unknown key; {alternatives(key, sorted(fields))}")
        if key in _DESCRIBING:
            continue
        inner = list(_models(fields[key].annotation))
        if isinstance(value, dict) and inner:
            _check_keys(here, inner[0], value)
        elif isinstance(value, list) and inner:
            for index, item in enumerate(value):
                if isinstance(item, dict):
                    _check_keys(here.item(index), inner[-1], item)


def _used(value: Any) -> Any:
    """Return a document without what only describes the data."""
    if isinstance(value, dict):
        return {key: _used(member) for key, member in value.items() if key not in _DESCRIBING}
    return list(map(_used, value)) if isinstance(value, list) else value


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    from pydantic import BaseModel

    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


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
