"""What breaks between two versions of contracts, and for whom.

A change breaks if an event that the old contract accepts could be refused by the new one, or if a reader of
the table would miss a column or find another type, key or time in it. Raising the contract's major version
says that this is meant: its changes are then allowed. Removing an event type is never allowed that way, as
nothing is left to carry the version.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sluice.codegen.generate import domains
from sluice.contracts import Contract, Property, load_contracts
from sluice.errors import ConfigError, ContractError

Contracts = Mapping[str, Contract]

LEVELS = ("public", "internal", "confidential", "restricted")
"""Classifications, from loose to strict."""


@dataclass(frozen=True, slots=True)
class Change:
    """One breaking change. `path` is dotted, as in `items[].price`, and '' for the contract itself."""

    event_type: str
    was: str
    """The old version."""
    now: str | None
    """The new version; None if the event type is gone."""
    path: str
    what: str
    """What was and what is, such as `enum narrowed: 'shipped' removed`."""
    consumers: tuple[str, ...]
    """Who breaks, as both versions of the contract name them."""

    def __str__(self) -> str:
        """`order 1.0.0 -> 1.1.0: status: enum narrowed: 'shipped' removed; breaks: finance dashboard`."""
        versions = self.was if self.now is None else f"{self.was} -> {self.now}"
        parts = [f"{self.event_type} {versions}", self.path, self.what]
        breaks = ", ".join(self.consumers) or "no consumer that the contract names"
        return f"{': '.join(part for part in parts if part)}; breaks: {breaks}"


def breaking_changes(old: Contracts, new: Contracts) -> list[Change]:
    """Return what breaks from `old` to `new` (event type -> contract), in the order of `old`. Pure."""
    changes = []
    for event_type, was in old.items():
        now = new.get(event_type)
        if now is None:
            changes.append(Change(event_type, was.version, None, "", "event type removed", was.consumers))
            continue
        if major(now.version) > major(was.version):
            continue
        consumers = tuple(dict.fromkeys((*was.consumers, *now.consumers)))
        changes += [
            Change(event_type, was.version, now.version, path, what, consumers)
            for path, what in _contract_changes(was, now)
        ]
    return changes


def major(version: str) -> int:
    """Return the first number of a version such as 2.1.0 or v2; 0 if it has none."""
    found = re.match(r"v?(\d+)", version)
    return int(found[1]) if found else 0


def breaking_changes_against(against: str, schemas: Path) -> list[Change]:
    """Return what breaks from `against`, see `contracts_at`, to the contracts now under `schemas`.

    Raises:
        ConfigError: `against` is neither folder nor revision, or contracts on either side cannot be read.

    """
    new = {name: load_contracts(str(folder)) for name, folder in domains(schemas).items()}
    old = contracts_at(against, schemas)
    return [change for name in old for change in breaking_changes(old[name], new.get(name, {}))]


def contracts_at(against: str, schemas: Path) -> dict[str, dict[str, Contract]]:
    """Return domain -> contracts as they are in `against`: a folder like `schemas`, or a git revision of it.

    A folder wins over a revision of the same name. A revision without contracts gives {}: all is new.

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
    """Load the domains of `folder`; if it holds contracts itself, it stands for `schemas` itself."""
    return {
        schemas.resolve().name if each.samefile(folder) else name: load_contracts(str(each))
        for name, each in domains(folder).items()
    }


def _check_out(revision: str, schemas: Path, into: Path) -> None:
    """Write the contracts of a git revision below `into`; nothing in the working tree is touched."""
    wrong = f"--against {revision}: expected a folder or a git revision"
    if revision.startswith("-") or ":" in revision or not revision:
        message = f"{wrong}, got {revision!r}"
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
        done = subprocess.run(["git", "-C", str(place), *arguments], capture_output=True, check=False)
    except OSError as error:
        message = f"{wrong}, but git cannot be run: {error.strerror}"
        raise ConfigError(message) from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        message = f"{wrong}; git {arguments[0]}: {said[0] if said else 'there is none of that name'}"
        raise ConfigError(message)
    return done.stdout


Found = Iterator[tuple[str, str]]
"""Path and what changed there."""


def _contract_changes(was: Contract, now: Contract) -> Found:
    for what, old, new in (
        ("table", was.table, now.table),
        ("event time", was.event_time or "arrival", now.event_time or "arrival"),
        ("identity", was.identity, now.identity),
        ("span of folders", was.log_partition, now.log_partition),
    ):
        if old != new:
            yield "", f"{what} changed: {old} -> {new}"
    yield from _properties_changes(was.properties, now.properties, "")


def _properties_changes(was: tuple[Property, ...], now: tuple[Property, ...], prefix: str) -> Found:
    old = {prop.name: prop for prop in was}
    new = {prop.name: prop for prop in now}
    for name, prop in old.items():
        if name in new:
            yield from _changes(prop, new[name], f"{prefix}{name}")
        else:
            yield f"{prefix}{name}", "property removed"
    for name, prop in new.items():
        if name not in old and prop.required:
            yield f"{prefix}{name}", "required property added"


def _changes(was: Property, now: Property, path: str) -> Found:
    if was.type != now.type:
        yield path, f"type changed: {was.type} -> {now.type}"
        return
    if was.mask != now.mask:
        yield path, f"protection changed: {was.mask or 'none'} -> {now.mask or 'none'}"
    if was.flatten != now.flatten:
        yield path, "flattened into columns" if now.flatten else "no longer flattened into columns"
    if now.required and not was.required:
        yield path, "made required"
    if was.unique != now.unique:
        yield path, "made unique" if now.unique else "no longer unique"
    if _is_looser(was.classification, now.classification):
        yield path, f"classification loosened: {was.classification} -> {now.classification or 'none'}"
    yield from _enum_changes(was, now, path)
    yield from _limit_changes(was, now, path)
    if was.items is not None and now.items is not None:
        yield from _changes(was.items, now.items, f"{path}[]")
    yield from _properties_changes(was.properties, now.properties, f"{path}.")


def _enum_changes(was: Property, now: Property, path: str) -> Found:
    if was.enum:
        gone = [repr(value) for value in was.enum if value not in now.enum]
        if now.enum and gone:
            yield path, f"enum narrowed: {', '.join(gone)} removed"
    elif now.enum:
        yield path, f"enum added: only {', '.join(map(repr, now.enum))}"


def _limit_changes(was: Property, now: Property, path: str) -> Found:
    for what, old, new in (
        ("minimum", was.minimum, now.minimum),
        ("minimum length", was.min_length, now.min_length or None),
    ):
        if new is not None and (old is None or new > old):
            yield path, f"{what} added: {new}" if old is None else f"{what} raised: {old} -> {new}"
    for what, old, new in (
        ("maximum", was.maximum, now.maximum),
        ("maximum length", was.max_length, now.max_length),
    ):
        if new is not None and (old is None or new < old):
            yield path, f"{what} added: {new}" if old is None else f"{what} lowered: {old} -> {new}"
    if now.pattern is not None and was.pattern != now.pattern:
        if was.pattern is None:
            yield path, f"pattern added: {now.pattern}"
        else:
            yield path, f"pattern changed: {was.pattern} -> {now.pattern}"


def _is_looser(was: str | None, now: str | None) -> bool:
    if was is None or was == now or was == LEVELS[0]:
        return False
    if was in LEVELS and now in LEVELS:
        return LEVELS.index(now) < LEVELS.index(was)
    return now is None or was == LEVELS[-1]
