"""Protected properties of contracts -> functions that take the raw values out of records, before anything is written.

A value is found where its contract says that it stands, and, since producers err, in any member that the contract
does not know but that has its name. What takes its place cannot be turned back, and is the same for the same value
and key, so that events can still be told apart, counted and joined.
"""

from __future__ import annotations

import hmac
import json
import re
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from sluice.contracts import Contract, Mask, Property
from sluice.contracts.patterns import UUID_PATTERN, python_pattern
from sluice.elements import Rejected, Violation
from sluice.errors import ConfigError
from sluice.validation.decoder import too_deep

PROTECTED = "a protected value"
"""What a violation says that it got, in the place of a value that is not to be seen."""

SALVAGED = "_repaired"
"""Member that tells how a damaged line was mended; its `line` is the raw line, which cannot be searched."""

_STRENGTH: Sequence[Mask] = ("truncate_ip", "hash", "drop")
_KEPT_BYTES = {socket.AF_INET: 3, socket.AF_INET6: 6}
"""How much of an address `truncate_ip` keeps: 24 or 48 bits."""

_MAPPED = bytes(10) + b"\xff\xff"
"""How the IPv6 form of an IPv4 address begins."""

_SHORTEST = 3
"""Characters of a value that is looked for in texts around its record; shorter ones are everywhere."""

_SEARCHABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_uuid = re.compile(python_pattern(UUID_PATTERN)).search
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode
_string = msgspec.json.Decoder(str).decode
_encode = msgspec.json.Encoder().encode


def is_masked(contracts: Iterable[Contract]) -> bool:
    """Tell whether some property of `contracts` is protected."""
    return any(prop.mask for contract in contracts for _, prop in _walk(contract.properties, ""))


def without_limits(contract: Contract, paths: frozenset[str]) -> Contract:
    """Return `contract` for records in which the values at `paths` are protected already.

    There a value has no limits any more, and is not protected again.
    """
    return replace(contract, properties=_without_limits(contract.properties, "", paths))


def _without_limits(
    properties: Iterable[Property], prefix: str, paths: frozenset[str]
) -> tuple[Property, ...]:
    return tuple(_loosened(prop, f"{prefix}{prop.name}", paths) for prop in properties)


def _loosened(prop: Property, path: str, paths: frozenset[str]) -> Property:
    if path in paths:
        return replace(prop.unlimited(), mask=None)
    if prop.items is not None:
        return replace(prop, items=_loosened(prop.items, f"{path}[]", paths))
    return replace(prop, properties=_without_limits(prop.properties, f"{path}.", paths))


@dataclass(slots=True)
class Found:
    """What was protected in one record: the paths, as `items[].email`, and the raw texts that stood there."""

    paths: set[str] = field(default_factory=set)
    values: list[str] = field(default_factory=list)
    duplicates: bool = False
    """A key stands twice in one object; only its last value was looked at and kept."""

    def add(self, path: str, value: str) -> None:
        """Note that `value` stood at `path`."""
        self.paths.add(path)
        self.values.append(value)

    @property
    def changed(self) -> bool:
        """Whether the record is not what it was."""
        return bool(self.paths) or self.duplicates


Change = Callable[[bytes | msgspec.Raw, str, Found], msgspec.Raw | None]
"""JSON text of a value and its path -> what takes its place; None takes the member away."""


class Masking:
    """Protects the records of a job's contracts; see `compile_protection`.

    Attributes:
        lines: event type -> function of an event's line, for the contracts that protect something.

    """

    def __init__(self, contracts: Mapping[str, Contract], key: bytes, done: frozenset[str]) -> None:
        """Compile `contracts` by event type."""
        changes = _changes(key)
        masked = {name: each for name, each in contracts.items() if is_masked([each])}
        self._key = key
        self._unknown = _Walker((), changes, _names(masked.values()), done)
        self._walkers = {
            name: _Walker(each.properties, changes, _names([each]), done) for name, each in masked.items()
        }
        self._known = frozenset(contracts)
        self._masks = {name: _Mask(each.properties) for name, each in masked.items()}
        self._hash = changes["hash"]
        self.lines: Mapping[str, Callable[[bytes], bytes]] = {
            name: walker.mask for name, walker in self._walkers.items()
        }

    def rejected(self, rejected: Rejected) -> Rejected:
        """Return a rejected record without raw values: in its payload, its violations and its attributes.

        A record that is not one JSON object, or in which a key stands twice, cannot be searched: it is `quarantine`.
        One of a known type that protects nothing stays as it is.
        """
        walker = self._walkers.get(rejected.event_type or "", self._unknown)
        if rejected.event_type in self._known and walker is self._unknown:
            return rejected
        found = Found()
        record = walker.search(rejected.record, found)
        if record is None or found.duplicates:
            return replace(rejected, quarantine=hmac.digest(self._key, rejected.record, "sha256"))
        mask = self._masks.get(rejected.event_type or "")
        origin = rejected.origin
        attributes = {
            name: self._attribute(name, value, walker, found) for name, value in origin.attributes.items()
        }
        return replace(
            rejected,
            record=record,
            origin=replace(origin, attributes=attributes),
            violations=tuple(_masked(each, mask, found) for each in rejected.violations),
            masked=rejected.masked | found.paths,
        )

    def _attribute(self, name: str, value: str, walker: _Walker, found: Found) -> str:
        if name.casefold() not in walker.names and not _holds(value, found):
            return value
        return str(_text(self._hash(_encode(value), "", Found()) or b'""'))


def compile_masking(
    contracts: Mapping[str, Contract],
    route_by: str | None,
    key: bytes | None,
    done: frozenset[str] = frozenset(),
) -> Masking | None:
    """Compile what protects the records of `contracts` (event type -> contract); None if they protect nothing.

    Values at the paths in `done` are left alone: they are protected already.

    Raises:
        ConfigError: there is no key, or the property that routes is protected.

    """
    if not is_masked(contracts.values()):
        return None
    for contract in contracts.values():
        for prop in contract.properties:
            if prop.name == route_by and prop.mask:
                message = (
                    f"{contract.path or contract.label}: property {route_by}: events are routed by it, so it "
                    f"cannot be protected, got protect: {prop.mask}; remove it"
                )
                raise ConfigError(message)
    if key is None:
        message = "expected the privacy key, got nothing"
        raise ConfigError(message)
    return Masking(contracts, key, done)


class _Walker:
    """Goes through the records of one contract, or, without properties, of any."""

    def __init__(
        self,
        properties: Sequence[Property],
        changes: Mapping[Mask, Change],
        names: Mapping[str, Mask],
        done: frozenset[str],
    ) -> None:
        """`names` are those of protected properties, in lower case, for members that no contract knows."""
        self.names = names
        self._done = done
        self._changes = changes
        on_the_way = {name for path, prop in _walk(properties, "") if prop.mask for name in _parts(path)}
        tokens = b"|".join(re.escape(name.encode()) for name in sorted({*names, *on_the_way}))
        # A key may be written with escapes, so a backslash calls for a closer look.
        self._mentions = re.compile(rb'"(?:%b)"|"%b"|\\' % (tokens, SALVAGED.encode()), re.IGNORECASE).search
        self._any = self._object(())
        self._anythings = self._array(self._anything, masked=False)
        self._root = self._object(properties)

    def mask(self, line: bytes) -> bytes:
        """Return an event's line without raw values: as it was if there are none, else compact.

        Raises:
            msgspec.DecodeError: it cannot be searched.

        """
        return self._changed(line, Found())

    def search(self, record: bytes, found: Found) -> bytes | None:
        """Return any record without raw values; None if it is no JSON object, so that it cannot be searched."""
        try:
            record.decode()
            if too_deep(record):
                return None
            _members(record)
            return self._changed(record, found)
        except _SEARCHABLE:
            return None

    def _changed(self, record: bytes, found: Found) -> bytes:
        if self._mentions(record) is None:
            return record
        changed = self._root(msgspec.json.format(record, indent=-1), "", found)
        return bytes(changed) if found.changed and changed is not None else record

    def _object(self, properties: Sequence[Property]) -> Change:
        """Compile what changes an object that has `properties`, and perhaps others."""
        known = {prop.name: self._value(prop) for prop in properties}

        def change(raw: bytes | msgspec.Raw, path: str, found: Found) -> msgspec.Raw | None:
            members = _members(raw)
            text = _encode(members)
            if len(text) != len(raw) and _repeats(raw):
                found.duplicates = True
            dropped = []
            for name, value in members.items():
                look = known[name] if name in known else self._unknown(name)
                if look is None or bytes(value) == b"null":
                    continue
                here = f"{path}.{name}" if path else name
                if here in self._done:
                    continue
                inner = look(value, here, found)
                if inner is None:
                    dropped.append(name)
                else:
                    members[name] = inner
            for name in dropped:
                del members[name]
            return msgspec.Raw(_encode(members))

        return self._guarded(change, b"{", self._mentions)

    def _array(self, look: Change, masked: bool) -> Change:
        """Compile what changes an array; where a `protected` value belongs, any item may be one."""

        def change(raw: bytes | msgspec.Raw, path: str, found: Found) -> msgspec.Raw | None:
            here = f"{path}[]"
            if here in self._done:
                return msgspec.Raw(bytes(raw))
            inner = [each if bytes(each) == b"null" else look(each, here, found) for each in _elements(raw)]
            return msgspec.Raw(_encode([each for each in inner if each is not None]))

        return self._guarded(change, b"[", _always if masked else self._mentions)

    def _guarded(self, change: Change, opening: bytes, concerns: Callable[[bytes], object]) -> Change:
        """Have `change` see only what is of its kind and concerns it; a value of another kind is hashed whole."""
        hashed = self._changes["hash"]

        def guarded(raw: bytes | msgspec.Raw, path: str, found: Found) -> msgspec.Raw | None:
            text = bytes(raw)
            if not text.startswith(opening):
                return hashed(text, path, found)
            return change(text, path, found) if concerns(text) else msgspec.Raw(text)

        return guarded

    def _value(self, prop: Property) -> Change | None:
        """Compile what changes a value of `prop`; None: nothing does."""
        if prop.mask:
            return self._changes[prop.mask]
        if prop.type == "json":
            return self._anything
        masked = any(each.mask for _, each in _walk((prop,), ""))
        if prop.items is not None:
            look = self._value(prop.items)
            return None if look is None else self._unless_plain(b"[", self._array(look, masked), masked)
        return self._unless_plain(b"{", self._object(prop.properties), masked) if prop.properties else None

    def _unless_plain(self, opening: bytes, change: Change, masked: bool) -> Change:
        """Search a value of another kind by name, where none that is `protected` belongs."""
        if masked:
            return change
        return lambda raw, path, found: (
            change(raw, path, found) if bytes(raw).startswith(opening) else self._anything(raw, path, found)
        )

    def _unknown(self, name: str) -> Change:
        if name == SALVAGED:
            return _without_line
        method = self.names.get(name.casefold())
        return self._anything if method is None else self._changes[method]

    def _anything(self, raw: bytes | msgspec.Raw, path: str, found: Found) -> msgspec.Raw | None:
        text = bytes(raw)
        if text.startswith(b"{"):
            return self._any(text, path, found)
        if text.startswith(b"["):
            return self._anythings(text, path, found)
        return msgspec.Raw(text)


def _always(_: bytes) -> bool:
    return True


def _changes(key: bytes) -> Mapping[Mask, Change]:
    keyed = hmac.new(key, digestmod="sha256")

    def digest(value: bytes) -> bytes:
        copy = keyed.copy()  # takes half the time of a new one
        copy.update(value)
        return copy.digest()

    def hashed(raw: bytes | msgspec.Raw, path: str, found: Found) -> msgspec.Raw | None:
        text = _text(raw)
        found.add(path, bytes(raw).decode() if text is None else text)
        if text is None:
            # What is no string must not become one: it would then keep a contract that it broke.
            return msgspec.Raw(_encode({"_protected": digest(bytes(raw)).hex()}))
        if _uuid(text) is None:
            return msgspec.Raw(_encode(digest(text.encode("utf-8", "surrogatepass")).hex()))
        return msgspec.Raw(_encode(_uuid8(digest(text.lower().encode()))))

    def truncated(raw: bytes | msgspec.Raw, path: str, found: Found) -> msgspec.Raw | None:
        text = _text(raw)
        network = None if text is None else _network(text)
        if text is None or network is None:
            return hashed(raw, path, found)
        found.add(path, text)
        return msgspec.Raw(_encode(network))

    def dropped(raw: bytes | msgspec.Raw, path: str, found: Found) -> msgspec.Raw | None:
        text = _text(raw)
        found.add(path, bytes(raw).decode() if text is None else text)
        return None

    return {"hash": hashed, "truncate_ip": truncated, "drop": dropped}


def _uuid8(digest: bytes) -> str:
    """Return the first bytes of a hash as a UUID (version 8 of RFC 9562), so that a UUID's hash is one, too."""
    digits = digest.hex()
    variant = "89ab"[digest[8] & 3]
    return f"{digits[:8]}-{digits[8:12]}-8{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"


def _text(raw: bytes | msgspec.Raw) -> str | None:
    try:
        return _string(raw)
    except msgspec.ValidationError:
        return None


def _network(text: str) -> str | None:
    """Return the network that an address is in, as an address; None if `text` is no address."""
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    try:
        address = socket.inet_pton(family, text.partition("%")[0])
    except (OSError, ValueError):  # ValueError: a zero character
        return None
    if address.startswith(_MAPPED):
        family, address = socket.AF_INET, address[len(_MAPPED) :]
    return socket.inet_ntop(family, address[: _KEPT_BYTES[family]].ljust(len(address), b"\0"))


def _without_line(raw: bytes | msgspec.Raw, path: str, found: Found) -> msgspec.Raw | None:
    try:
        members = _members(raw)
    except msgspec.ValidationError:
        return msgspec.Raw(bytes(raw))
    if members.pop("line", None) is not None:
        found.paths.add(f"{path}.line")
    return msgspec.Raw(_encode(members))


def _repeats(raw: bytes | msgspec.Raw) -> bool:
    """Tell whether a key stands twice in some object; keys that are written with escapes are no repeats."""
    duplicates = False

    def look(pairs: Sequence[tuple[str, Any]]) -> None:
        nonlocal duplicates
        duplicates = duplicates or len({name for name, _ in pairs}) < len(pairs)

    json.loads(bytes(raw), object_pairs_hook=look, parse_int=str, parse_float=str)
    return duplicates


class _Mask:
    """Tells which violations of a contract are about protected values."""

    def __init__(self, properties: Sequence[Property]) -> None:
        paths = [path for path, prop in _walk(properties, "") if prop.mask]
        self._leaf = re.compile("|".join(f"{_pattern(path)}(?:\\..*)?" for path in paths), re.DOTALL)
        above = {part for path in paths for part in _above(path)}
        self._above = re.compile("|".join(map(_pattern, sorted(above))))

    def covers(self, violation: Violation) -> bool:
        """Tell whether what came may show a protected value."""
        if self._leaf.fullmatch(violation.path):
            return violation.code != "missing"
        return violation.code == "type" and self._above.fullmatch(violation.path) is not None


def _masked(violation: Violation, mask: _Mask | None, found: Found) -> Violation:
    odd_type = violation.code == "unknown_type" and violation.got[:1] in "{["
    if odd_type or (mask is not None and mask.covers(violation)) or _holds(violation.got, found):
        return replace(violation, got=PROTECTED)
    return violation


def _holds(text: str, found: Found) -> bool:
    return any(len(value) >= _SHORTEST and value in text for value in found.values)


def _names(contracts: Iterable[Contract]) -> dict[str, Mask]:
    """Return the names of protected properties in lower case, aliases too, with the strongest of their methods."""
    names: dict[str, Mask] = {}
    for contract in contracts:
        for path, prop in _walk(contract.properties, ""):
            if prop.mask:
                for name in (_parts(path)[-1], *prop.aliases):
                    methods = (prop.mask, names.get(name.casefold(), prop.mask))
                    names[name.casefold()] = max(methods, key=_STRENGTH.index)
    return names


def _walk(properties: Iterable[Property], prefix: str) -> Iterator[tuple[str, Property]]:
    """Yield every property with its path, such as `items[].email`."""
    for prop in properties:
        path: str = f"{prefix}{prop.name}"
        inner: Property | None = prop
        while inner is not None:
            yield path, inner
            yield from _walk(inner.properties, f"{path}.")
            inner, path = inner.items, f"{path}[]"


def _parts(path: str) -> list[str]:
    return path.replace("[]", "").split(".")


def _above(path: str) -> Iterator[str]:
    """Yield the paths of what holds the value at `path`; the event itself is ''."""
    yield ""
    while path:
        path = path[:-2] if path.endswith("[]") else path.rpartition(".")[0]
        if path:
            yield path


def _pattern(path: str) -> str:
    """Return what matches `path` as violations write it: `items.0.email`."""
    return re.escape(path).replace(re.escape("[]"), r"\.\d+")
