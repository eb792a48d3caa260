"""Properties of a contract -> a function that masks the values in a record, wherever they are.

A value is masked where its contract declares it. Since producers make mistakes, it is masked as well in any member that
the contract does not declare but that has the name of a masked property.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from sluice.contracts import ITEM, REPAIRED_KEY, Mask, Property, ValuePath, walk
from sluice.contracts.names import fold_name
from sluice.formats.json_syntax import NOT_JSON
from sluice.validation.decoder import too_deep
from sluice.validation.mask_methods import MaskedValues, MaskFunction, encode

_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode


class RecordMasker:
    """Masks the records of one contract, or, without properties, of any."""

    def __init__(
        self,
        properties: Sequence[Property],
        methods: Mapping[Mask, MaskFunction],
        names: Mapping[str, Mask],
        already_masked: frozenset[ValuePath],
    ) -> None:
        """Compile `properties`.

        `names` are those of masked properties, folded, for members that the contract does not declare; values
        at the paths in `already_masked` are not changed.
        """
        self.names = names
        self._already_masked = already_masked
        self._methods = methods
        ancestors = {part for path, prop in walk(properties) if prop.mask for part in path if part != ITEM}
        tokens = b"|".join(re.escape(name.encode()) for name in sorted({*names, *ancestors}))
        # A key may be written with escapes, and letters outside ASCII may fold to one of them, so a backslash and such
        # letters require a closer look.
        self._may_concern = re.compile(
            rb'"(?:%b)"|"%b"|[\\\x80-\xff]' % (tokens, REPAIRED_KEY.encode()), re.IGNORECASE
        ).search
        self._mask_any_object = self._object(())
        self._mask_any_array = self._array(self._mask_anything, has_masked=False)
        self._mask_root = self._object(properties)

    def mask_line(self, line: bytes) -> bytes:
        """Return the line of an accepted event with its values masked; the same bytes if there are none, else compact.

        Raises:
            msgspec.DecodeError: the line cannot be searched.

        """
        return self._mask(line, MaskedValues())

    def mask_record(self, record: bytes, masked: MaskedValues) -> bytes | None:
        """Return any record with its values masked; None if it is no JSON object, so that it cannot be searched."""
        try:
            record.decode()
            if too_deep(record):
                return None
            _decode_members(record)
            return self._mask(record, masked)
        except NOT_JSON:
            return None

    def _mask(self, record: bytes, masked: MaskedValues) -> bytes:
        if self._may_concern(record) is None:
            return record
        changed = self._mask_root(msgspec.json.format(record, indent=-1), (), masked)
        return bytes(changed) if masked.changed and changed is not None else record

    def _object(self, properties: Sequence[Property]) -> MaskFunction:
        """Compile what masks an object with `properties`, which may have other members, too."""
        declared = {prop.name: self._value(prop) for prop in properties}

        def mask_members(
            raw: bytes | msgspec.Raw, path: ValuePath, masked: MaskedValues
        ) -> msgspec.Raw | None:
            members = _decode_members(raw)
            if len(encode(members)) != len(raw) and _has_repeated_keys(raw):
                masked.has_repeated_keys = True
            dropped = []
            for name, value in members.items():
                mask = declared[name] if name in declared else self._undeclared(name)
                if mask is None or bytes(value) == b"null":
                    continue
                here = (*path, name)
                if here in self._already_masked:
                    continue
                replacement = mask(value, here, masked)
                if replacement is None:
                    dropped.append(name)
                else:
                    members[name] = replacement
            for name in dropped:
                del members[name]
            return msgspec.Raw(encode(members))

        return self._of_form(b"{", mask_members, self._may_concern)

    def _array(self, mask_item: MaskFunction, has_masked: bool) -> MaskFunction:
        """Compile what masks an array; with `has_masked`, its items are declared to contain masked values."""

        def mask_items(raw: bytes | msgspec.Raw, path: ValuePath, masked: MaskedValues) -> msgspec.Raw | None:
            here = (*path, ITEM)
            if here in self._already_masked:
                return msgspec.Raw(bytes(raw))
            items = [
                item if bytes(item) == b"null" else mask_item(item, here, masked)
                for item in _decode_items(raw)
            ]
            return msgspec.Raw(encode([item for item in items if item is not None]))

        return self._of_form(b"[", mask_items, _always if has_masked else self._may_concern)

    def _of_form(
        self, opening: bytes, mask: MaskFunction, concerns: Callable[[bytes], object]
    ) -> MaskFunction:
        """Apply `mask` to values that begin with `opening` and concern it; hash values of another form as a whole."""
        hash_value = self._methods["hash"]

        def mask_form(raw: bytes | msgspec.Raw, path: ValuePath, masked: MaskedValues) -> msgspec.Raw | None:
            text = bytes(raw)
            if not text.startswith(opening):
                return hash_value(text, path, masked)
            return mask(text, path, masked) if concerns(text) else msgspec.Raw(text)

        return mask_form

    def _value(self, prop: Property) -> MaskFunction | None:
        """Compile what masks a value of `prop`; None: it has nothing to mask."""
        if prop.mask:
            return self._methods[prop.mask]
        if prop.type == "json":
            return self._mask_anything
        has_masked = any(inner.mask for _, inner in walk((prop,)))
        if prop.items is not None:
            mask_item = self._value(prop.items)
            if mask_item is None:
                return None
            return self._or_anything(b"[", self._array(mask_item, has_masked), has_masked)
        if not prop.properties:
            return None
        return self._or_anything(b"{", self._object(prop.properties), has_masked)

    def _or_anything(self, opening: bytes, mask: MaskFunction, has_masked: bool) -> MaskFunction:
        """Search a value of another form by names, unless masked values are declared here: then it is hashed."""
        if has_masked:
            return mask
        return lambda raw, path, masked: (
            mask(raw, path, masked)
            if bytes(raw).startswith(opening)
            else self._mask_anything(raw, path, masked)
        )

    def _undeclared(self, name: str) -> MaskFunction:
        if name == REPAIRED_KEY:
            return _drop_received_line
        method = self.names.get(fold_name(name))
        return self._mask_anything if method is None else self._methods[method]

    def _mask_anything(
        self, raw: bytes | msgspec.Raw, path: ValuePath, masked: MaskedValues
    ) -> msgspec.Raw | None:
        text = bytes(raw)
        if text.startswith(b"{"):
            return self._mask_any_object(text, path, masked)
        if text.startswith(b"["):
            return self._mask_any_array(text, path, masked)
        return msgspec.Raw(text)


def _always(_: bytes) -> bool:
    return True


def _drop_received_line(
    raw: bytes | msgspec.Raw, path: ValuePath, masked: MaskedValues
) -> msgspec.Raw | None:
    """Remove the line as received from the note of a repaired line, since it cannot be searched."""
    try:
        members = _decode_members(raw)
    except msgspec.ValidationError:
        return msgspec.Raw(bytes(raw))
    if members.pop("line", None) is not None:
        masked.paths.add((*path, "line"))
    return msgspec.Raw(encode(members))


def _has_repeated_keys(raw: bytes | msgspec.Raw) -> bool:
    """Tell whether a key occurs twice in an object; it is not enough that keys are written with escapes."""
    repeated = False

    def check(pairs: Sequence[tuple[str, Any]]) -> None:
        nonlocal repeated
        repeated = repeated or len({name for name, _ in pairs}) < len(pairs)

    json.loads(bytes(raw), object_pairs_hook=check, parse_int=str, parse_float=str)
    return repeated
