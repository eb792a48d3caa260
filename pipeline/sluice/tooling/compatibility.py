"""Breaking changes between two versions of contracts, and which consumers they break.

A change is breaking if the new contract could reject an event that the old one accepts, or if a reader of the
table would miss a column or find another type, key or time in it. A higher major version declares that the changes
are intended, and allows them. It does not allow to remove an event type: no contract is left to carry the version.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sluice.addresses import mask_text
from sluice.codegen.generate import domains
from sluice.contracts import Contract, Property, load_contracts
from sluice.errors import ConfigError, ContractError, quote
from sluice.validation.exact_values import is_multiple

Contracts = Mapping[str, Contract]

LEVELS = ("public", "internal", "confidential", "restricted")
"""Classifications, from loose to strict."""


@dataclass(frozen=True, slots=True)
class Change:
    """One breaking change. `path` is dotted, as in `items[].price`, and '' for the contract itself."""

    event_type: str
    old_version: str
    new_version: str | None
    """None if the event type was removed."""
    path: str
    message: str
    """The change, such as `enum narrowed: 'shipped' removed`."""
    consumers: tuple[str, ...]
    """The consumers that break, as both versions of the contract name them."""

    def __str__(self) -> str:
        """`order 1.0.0 -> 1.1.0: status: enum narrowed: 'shipped' removed; breaks: finance dashboard`."""
        old, new = self.old_version, self.new_version
        versions = old if new is None else f"{old} -> {new}"
        parts = [f"{self.event_type} {versions}", self.path, self.message]
        breaks = ", ".join(self.consumers) or "no consumer that the contract names"
        return f"{': '.join(part for part in parts if part)}; breaks: {breaks}"


def breaking_changes(old: Contracts, new: Contracts) -> list[Change]:
    """Return the breaking changes from `old` to `new` (event type -> contract), in the order of `old`. Pure."""
    changes = []
    for event_type, before in old.items():
        after = new.get(event_type)
        if after is None:
            changes.append(
                Change(event_type, before.version, None, "", "event type removed", before.consumers)
            )
            continue
        if major(after.version) > major(before.version):
            continue
        consumers = tuple(dict.fromkeys((*before.consumers, *after.consumers)))
        changes += [
            Change(event_type, before.version, after.version, path, message, consumers)
            for path, message in _contract_changes(before, after)
        ]
    return changes


def major(version: str) -> int:
    """Return the first number of a version such as 2.1.0 or v2; 0 if it has none."""
    match = re.match(r"v?(\d+)", version)
    return int(match[1]) if match else 0


def breaking_changes_against(against: str, schemas: Path) -> list[Change]:
    """Return the breaking changes from `against`, see `contracts_at`, to the contracts now under `schemas`.

    Raises:
        ConfigError: `against` is neither folder nor revision, or contracts on either side cannot be read.

    """
    new = {name: load_contracts(str(folder)) for name, folder in domains(schemas).items()}
    old = contracts_at(against, schemas)
    return [change for name in old for change in breaking_changes(old[name], new.get(name, {}))]


def contracts_at(against: str, schemas: Path) -> dict[str, dict[str, Contract]]:
    """Return domain -> contracts as they are in `against`: a folder like `schemas`, or a git revision of it.

    A folder wins over a revision of the same name. A revision without contracts gives {}: all contracts are new.

    Raises:
        ConfigError: `against` is neither, or its contracts cannot be read.

    """
    if against and Path(against).is_dir():
        return _load(Path(against), schemas)
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / schemas.resolve().name
        copy.mkdir()
        _check_out(against, schemas, copy)
        try:
            return _load(copy, schemas) if any(copy.rglob("*.odcs.yaml")) else {}
        except ContractError as error:
            message = str(error).replace(str(copy), f"{against}:{schemas.as_posix()}")
            raise ConfigError(message) from error


def _load(folder: Path, schemas: Path) -> dict[str, dict[str, Contract]]:
    """Load the domains of `folder`; if contracts lie in it directly, it corresponds to `schemas` itself."""
    return {
        schemas.resolve().name if domain.samefile(folder) else name: load_contracts(str(domain))
        for name, domain in domains(folder).items()
    }


def _check_out(revision: str, schemas: Path, into: Path) -> None:
    """Write the contracts of a git revision below `into`; the working tree stays as it is."""
    wrong = f"--against {mask_text(revision)}: expected a folder or a git revision"
    if revision.startswith("-") or ":" in revision or not revision:
        message = f"{wrong}, got {quote(revision)}"
        raise ConfigError(message)
    commit = (
        _git(schemas, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", wrong=wrong)
        .decode()
        .strip()
    )
    listed = _git(schemas, "ls-tree", "-r", "-z", "--name-only", commit, "--", ".", wrong=wrong)
    for name in filter(None, listed.split(b"\0")):
        path = Path(os.fsdecode(name))
        if path.name.endswith(".odcs.yaml"):
            target = into / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(_git(schemas, "show", f"{commit}:./{path.as_posix()}", wrong=wrong))


def _git(place: Path, *arguments: str, wrong: str) -> bytes:
    try:
        completed = subprocess.run(["git", "-C", str(place), *arguments], capture_output=True, check=False)
    except OSError as error:
        message = f"{wrong}, but git cannot be run: {error.strerror}"
        raise ConfigError(message) from error
    if completed.returncode:
        lines = completed.stderr.decode(errors="replace").strip().splitlines()
        message = f"{wrong}; git {arguments[0]}: {lines[0] if lines else 'no such revision'}"
        raise ConfigError(message)
    return completed.stdout


PathChanges = Iterator[tuple[str, str]]
"""Path and message of each change."""


def _contract_changes(old: Contract, new: Contract) -> PathChanges:
    for name, before, after in (
        ("table", old.table, new.table),
        ("event time", old.event_time or "arrival", new.event_time or "arrival"),
        ("identity", old.identity, new.identity),
        ("onConflict", old.on_conflict, new.on_conflict),
        ("logPartition", old.log_partition, new.log_partition),
    ):
        if before != after:
            yield "", f"{name} changed: {before} -> {after}"
    yield from _properties_changes(old.properties, new.properties, "")


def _properties_changes(old: tuple[Property, ...], new: tuple[Property, ...], prefix: str) -> PathChanges:
    remaining = {prop.name: prop for prop in new}
    for prop in old:
        path = f"{prefix}{prop.name}"
        if prop.name in remaining:
            yield from _changes(prop, remaining.pop(prop.name), path)
        else:
            yield path, "property removed"
    for name, prop in remaining.items():
        if prop.required:
            yield f"{prefix}{name}", "required property added"


def _changes(old: Property, new: Property, path: str) -> PathChanges:
    if old.type != new.type:
        yield path, f"type changed: {old.type} -> {new.type}"
        return
    if old.mask != new.mask:
        yield path, f"mask changed: {old.mask or 'none'} -> {new.mask or 'none'}"
    if old.flatten != new.flatten:
        yield path, "flattened into columns" if new.flatten else "no longer flattened into columns"
    if new.required and not old.required:
        yield path, "made required"
    elif old.nullable and not new.nullable and not old.required:
        yield path, "no longer nullable"
    if old.unique != new.unique:
        yield path, "made unique" if new.unique else "no longer unique"
    if _is_looser(old.classification, new.classification):
        yield path, f"classification loosened: {old.classification} -> {new.classification or 'none'}"
    yield from _enum_changes(old, new, path)
    yield from _limit_changes(old, new, path)
    if old.items is not None and new.items is not None:
        yield from _changes(old.items, new.items, f"{path}[]")
    yield from _properties_changes(old.properties, new.properties, f"{path}.")


def _enum_changes(old: Property, new: Property, path: str) -> PathChanges:
    if old.enum:
        removed = [repr(value) for value in old.enum if value not in new.enum]
        if new.enum and removed:
            yield path, f"enum narrowed: {', '.join(removed)} removed"
    elif new.enum:
        yield path, f"enum added: only {', '.join(map(repr, new.enum))}"


def _limit_changes(old: Property, new: Property, path: str) -> PathChanges:
    yield from _set_changes(old, new, path)
    for name, before, after in (
        ("minimum", old.minimum, new.minimum),
        ("minimum length", old.min_length, new.min_length or None),
    ):
        if after is not None and (before is None or after > before):
            yield path, f"{name} added: {after}" if before is None else f"{name} raised: {before} -> {after}"
    for name, before, after in (
        ("maximum", old.maximum, new.maximum),
        ("maximum length", old.max_length, new.max_length),
    ):
        if after is not None and (before is None or after < before):
            yield path, f"{name} added: {after}" if before is None else f"{name} lowered: {before} -> {after}"
    if new.pattern is not None and old.pattern != new.pattern:
        if old.pattern is None:
            yield path, f"pattern added: {new.pattern}"
        else:
            yield path, f"pattern changed: {old.pattern} -> {new.pattern}"


def _set_changes(old: Property, new: Property, path: str) -> PathChanges:
    if new.earliest is not None and (old.earliest is None or new.earliest > old.earliest):
        yield path, f"minimum raised to {new.earliest.isoformat()}"
    if new.latest is not None and (old.latest is None or new.latest < old.latest):
        yield path, f"maximum lowered to {new.latest.isoformat()}"
    if new.multiple_of is not None and not (
        old.multiple_of is not None and is_multiple(old.multiple_of, new.multiple_of)
    ):
        yield path, f"multipleOf changed to {new.multiple_of:f}"
    if new.unique_items and not old.unique_items:
        yield path, "uniqueItems added"
    if added := [name for name in new.members if name not in old.members]:
        yield path, f"required members added: {', '.join(added)}"


def _is_looser(old: str | None, new: str | None) -> bool:
    if old is None or old == new or old == LEVELS[0]:
        return False
    if old in LEVELS and new in LEVELS:
        return LEVELS.index(new) < LEVELS.index(old)
    return new is None or old == LEVELS[-1]
