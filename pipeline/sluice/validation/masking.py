"""Masked properties of contracts -> functions that mask their values before anything is written.

Accepted events are masked line by line (`Masking.lines`), rejected records with their violations and origins
(`Masking.rejected`), so that no raw value is in files, tables or dead letters.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from msgspec import structs

from sluice.contracts import ITEM, Contract, Mask, Path, Property, ValuePath, parse_path, path_text, walk
from sluice.contracts.names import fold_name, masked_names
from sluice.elements import Rejected, Violation
from sluice.errors import ConfigError
from sluice.provenance import KAFKA_KEY, ORDERING_KEY, Origin
from sluice.validation.mask_methods import (
    BY_STRENGTH,
    MaskedValues,
    compile_methods,
    encode,
    string_content,
)
from sluice.validation.record_masker import RecordMasker
from sluice.validation.text_forms import plain, plain_forms

MASKED_VALUE = "a protected value"
"""What a violation shows in place of a masked value; stored in dead letters."""

_KEYS = frozenset({KAFKA_KEY, ORDERING_KEY})
"""Attributes that are hashed rather than left out, so that the records of one key can still be found together."""

_ADDED = re.compile(r"(;base64)?(#[0-9]+)?\Z")

_SHORTEST = 3
"""Characters of a raw value that is searched for in texts; shorter ones occur everywhere."""


def is_masked(contracts: Iterable[Contract]) -> bool:
    """Tell whether a property of `contracts` is masked."""
    return any(prop.mask for contract in contracts for _, prop in walk(contract.properties))


def without_limits(contract: Contract, paths: frozenset[ValuePath]) -> Contract:
    """Return `contract` for records in which the values at `paths` are masked already.

    These values have no limits any more, and are not masked again.
    """

    def loosen(prop: Property, path: Path) -> Property:
        if path in paths:
            return replace(prop.unlimited(), mask=None)
        if prop.items is not None:
            return replace(prop, items=loosen(prop.items, (*path, ITEM)))
        return replace(
            prop, properties=tuple(loosen(member, (*path, member.name)) for member in prop.properties)
        )

    return replace(contract, properties=tuple(loosen(prop, (prop.name,)) for prop in contract.properties))


class Masking:
    """Masks the records of a job's contracts; see `compile_masking`.

    Attributes:
        lines: event type -> function that masks an event's line, for contracts with masked properties.

    """

    def __init__(
        self,
        contracts: Mapping[str, Contract],
        key: bytes,
        already_masked: frozenset[ValuePath],
        safe_attributes: Collection[str],
    ) -> None:
        """Compile `contracts` by event type."""
        methods = compile_methods(key)
        masked = {name: contract for name, contract in contracts.items() if is_masked([contract])}
        self._key = key
        self._safe = frozenset(safe_attributes)
        self._any_type = RecordMasker((), methods, _masked_names(masked.values()), already_masked)
        self._maskers = {
            name: RecordMasker(contract.properties, methods, _masked_names([contract]), already_masked)
            for name, contract in masked.items()
        }
        self._known_types = frozenset(contracts)
        self._revealing = {
            name: _RevealingViolations(contract.properties) for name, contract in masked.items()
        }
        self._hash = methods["hash"]
        self.lines: Mapping[str, Callable[[bytes], bytes]] = {
            name: masker.mask_line for name, masker in self._maskers.items()
        }

    def rejected(self, rejected: Rejected) -> Rejected:
        """Return a rejected record without raw values in its payload, violations and origin.

        A record that is not one JSON object, or in which a key occurs twice, cannot be searched: it gets a
        `quarantine_hash`. One of a known type without masked properties is returned as it is.
        """
        masker = self._maskers.get(rejected.event_type or "", self._any_type)
        if rejected.event_type in self._known_types and masker is self._any_type:
            return rejected
        masked = MaskedValues()
        record = masker.mask_record(rejected.record, masked)
        if record is None or masked.has_repeated_keys:
            return replace(rejected, quarantine_hash=hmac.digest(self._key, rejected.record, "sha256"))
        revealing = self._revealing.get(rejected.event_type or "")
        raw_texts = _RawTexts(masked)
        return replace(
            rejected,
            record=record,
            origin=self._masked_origin(rejected.origin, masker, raw_texts),
            violations=tuple(
                _masked_violation(violation, revealing, raw_texts) for violation in rejected.violations
            ),
            masked=rejected.masked | {path_text(path) for path in masked.paths},
        )

    def _masked_origin(self, origin: Origin, masker: RecordMasker, raw_texts: _RawTexts) -> Origin:
        """Return an origin that reveals no value of its record.

        Attributes that the job does not call safe are left out, since a value can be in them in any form. Keys, and
        attributes with the name of a masked property, are hashed.
        """
        attributes = {}
        for name, value in origin.attributes.items():
            base = _base_name(name)
            if base in self._safe and not raw_texts.occur_in(value):
                attributes[name] = value
            elif base in self._safe or base in _KEYS or fold_name(base) in masker.names:
                attributes[name] = self._hashed(value)
        uri, message_id = origin.uri, origin.message_id
        if raw_texts.occur_in(uri):
            scheme, separator, _ = uri.partition("://")
            uri = f"{scheme if separator else 'file'}://{self._hashed(uri)}"
        if message_id is not None and raw_texts.occur_in(message_id):
            message_id = self._hashed(message_id)
        return structs.replace(origin, attributes=attributes, uri=uri, message_id=message_id)

    def _hashed(self, value: str) -> str:
        return str(string_content(self._hash(encode(value), (), MaskedValues()) or b'""'))


def _base_name(name: str) -> str:
    """Return the name of an attribute without what a source adds to it: `;base64` and the number of a repeated name."""
    return _ADDED.sub("", name)


def compile_masking(
    contracts: Mapping[str, Contract],
    route_by: str | None,
    key: bytes | None,
    already_masked: frozenset[ValuePath] = frozenset(),
    safe_attributes: Collection[str] = (),
) -> Masking | None:
    """Compile what masks the records of `contracts` (event type -> contract); None if they mask nothing.

    Values at the paths in `already_masked` are not changed. Attributes with the names in
    `safe_attributes` hold no values to mask.

    Raises:
        ConfigError: there is no key, or the property that records are routed by is masked.

    """
    if not is_masked(contracts.values()):
        return None
    for contract in contracts.values():
        for prop in contract.properties:
            if prop.name == route_by and prop.mask:
                message = (
                    f"{contract.path or contract.label}: property {route_by}: events are routed by it, so it "
                    f"cannot be masked, got mask: {prop.mask}; remove it"
                )
                raise ConfigError(message)
    if key is None:
        message = "expected the privacy key, got nothing"
        raise ConfigError(message)
    return Masking(contracts, key, already_masked, safe_attributes)


class _RevealingViolations:
    """Tells which violations of a contract may show a masked value."""

    def __init__(self, properties: Sequence[Property]) -> None:
        paths = [path for path, prop in walk(properties) if prop.mask]
        self._masked = set(paths)
        self._ancestors = {path[:depth] for path in paths for depth in range(len(path))}
        self._depths = range(1, max(map(len, self._masked)) + 1)

    def __contains__(self, violation: Violation) -> bool:
        """Tell whether what the violation got may show a masked value."""
        place = _place(violation.path)
        if any(place[:depth] in self._masked for depth in self._depths):
            return violation.code != "missing"
        return violation.code == "type" and place in self._ancestors


def _place(violation_path: str) -> ValuePath:
    """Return the path of a violation, the same for all items of an array."""
    return tuple(ITEM if isinstance(part, int) else part for part in parse_path(violation_path))


class _RawTexts:
    """The raw texts of the masked values in one record, which other texts are searched for.

    They are found in the forms of `sluice.validation.text_forms`.
    """

    def __init__(self, masked: MaskedValues) -> None:
        self._texts = {text for text in map(plain, masked.raw_texts) if len(text) >= _SHORTEST}
        self._lengths: dict[str, set[int]] = {}
        for text in self._texts:
            self._lengths.setdefault(text[:_SHORTEST], set()).add(len(text))

    def occur_in(self, text: str) -> bool:
        """Tell whether `text` contains one of them; does not look at each, since a record may have thousands."""
        return bool(self._texts) and any(map(self._occur_in, plain_forms(text)))

    def _occur_in(self, text: str) -> bool:
        return any(
            text[at : at + length] in self._texts
            for at in range(len(text) - _SHORTEST + 1)
            for length in self._lengths.get(text[at : at + _SHORTEST], ())
        )


def _masked_violation(
    violation: Violation, revealing: _RevealingViolations | None, raw_texts: _RawTexts
) -> Violation:
    is_nested_type = violation.code == "unknown_type" and violation.got[:1] in "{["
    is_revealing = revealing is not None and violation in revealing
    if is_nested_type or is_revealing or raw_texts.occur_in(violation.got):
        return replace(violation, got=MASKED_VALUE)
    return violation


def _masked_names(contracts: Iterable[Contract]) -> dict[str, Mask]:
    """Return the names and aliases of masked properties, folded, with the strongest of their methods."""
    names: dict[str, Mask] = {}
    for contract in contracts:
        for name, mask in masked_names(contract):
            names[name] = max(mask, names.get(name, mask), key=BY_STRENGTH.index)
    return names
