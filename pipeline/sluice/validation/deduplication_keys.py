"""Contract -> deduplication key: what makes two lines of the event log the same event, and which shard it belongs to.

A contract chooses the rule with its custom property `identity`. A key can always be computed from the stored line
alone, so the event log needs no index beside its files.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC
from decimal import Context, Decimal
from typing import Any, NamedTuple

import msgspec
import numpy as np
import xxhash

from sluice.contracts import DECIMAL_PRECISION, DECIMAL_SCALE, Contract, ValueType
from sluice.formats.delivery import delivery_of
from sluice.formats.source_member import without_position
from sluice.line_block import LineBlock
from sluice.native_core import native_core
from sluice.validation.batch_checks import attribute_names
from sluice.validation.content import compile_content
from sluice.validation.decoder import compile_struct

KeyFunction = Callable[[bytes], bytes]
"""A line of the event log -> its deduplication key, of KEY_BYTES."""

KEY_BYTES = 16

_key_of_content: KeyFunction = xxhash.xxh3_128_digest
"""For contracts whose identity is `content`."""


def _key_of_export(line: bytes) -> bytes:
    return xxhash.xxh3_128_digest(without_position(line))


_BY_EXPORT: Mapping[KeyFunction, bool] = {_key_of_content: False, _key_of_export: True}
"""The key functions that the native core knows -> whether a line counts up to its position."""

_DECIMAL_DIGITS = Context(prec=DECIMAL_PRECISION)
_DECIMAL_UNIT = Decimal(1).scaleb(-DECIMAL_SCALE)


def compile_deduplication_key(contract: Contract) -> KeyFunction:
    """Compile the function that computes the deduplication key of an event of `contract` from its stored line.

    The contract's `identity` is the rule. `content` hashes the line. `properties` hashes the values of the unique
    properties; the order of members, white space, escapes, the case of a UUID, the offset of a timestamp, and trailing
    zeros and the sign of zero of a decimal make no difference. With `onConflict: keep_both` the content counts, too.
    `delivery` hashes the last member of the line, which must be the string `_id` (msgspec.DecodeError). `export` hashes
    the line without its position, so with the address and the arrival of its export, which must be there, too.
    """
    if contract.identity == "content":
        return _key_of_content
    if contract.identity == "delivery":
        return lambda line: xxhash.xxh3_128_digest(delivery_of(line).encode())
    if contract.identity == "export":
        return _key_of_export
    key_of = _key_of_properties(contract)
    if contract.on_conflict == "keep_first":
        return key_of
    content_of = compile_content(contract)
    return lambda line: xxhash.xxh3_128_digest(key_of(line) + content_of(line))


def _key_of_properties(contract: Contract) -> KeyFunction:
    # The stored value of a masked property is a hash, which need not keep the limits of the raw value.
    unique = [prop.unlimited() if prop.mask else prop for prop in contract.properties if prop.unique]
    decode = msgspec.json.Decoder(compile_struct(contract.event_type, unique)).decode
    names = attribute_names(unique)
    readers = [(operator.attrgetter(names[prop.name]), prop.type) for prop in unique]

    def key_of(line: bytes) -> bytes:
        event = decode(line)
        values = [_canonical(read(event), value_type) for read, value_type in readers]
        return xxhash.xxh3_128_digest(msgspec.json.encode(values))

    return key_of


def _canonical(value: Any, value_type: ValueType) -> Any:
    """Return the one form in which equal values are hashed."""
    if value is None:
        return None
    if value_type == "uuid":
        return value.lower()
    if value_type == "timestamp":
        return (value if value.tzinfo is not None else value.replace(tzinfo=UTC)).astimezone(UTC)
    if value_type == "decimal":
        # Accepted decimals have at most 38 digits; `normalize` would round to the default context's 28.
        exact = Decimal(bytes(value).decode()).quantize(_DECIMAL_UNIT, context=_DECIMAL_DIGITS)
        return format(exact or abs(exact), "f")  # -0 is 0
    return value


class Distinct(NamedTuple):
    """The first lines of each key among some lines."""

    lines: LineBlock
    keys: bytes
    """KEY_BYTES for each of them."""
    kept: bytes | None
    """1 for each given line that is one of them, 0 for each other; None if all are."""


def find_distinct(key_of: KeyFunction, lines: Sequence[bytes]) -> Distinct | None:
    """Return the first lines of each key; None if the native core does not know the keys of all `lines`."""
    core = native_core()
    if core is None or key_of not in _BY_EXPORT:
        return None
    block = LineBlock.of(lines)
    found = core.distinct(block.data, _BY_EXPORT[key_of])
    if found is None:
        return None
    keys, repeated = found
    if repeated is None:
        return Distinct(block, keys, None)
    data, kept = repeated
    return Distinct(LineBlock(data, len(block) - kept.count(0)), keys, kept)


def keys_of(key_of: KeyFunction, lines: Sequence[bytes]) -> bytes:
    """Return the keys of lines, KEY_BYTES for each, by the native core if it knows them."""
    core, keys = native_core(), None
    if core is not None and key_of in _BY_EXPORT:
        keys = core.keys(list(lines), _BY_EXPORT[key_of])
    return b"".join(map(key_of, lines)) if keys is None else keys


def shards_of(key_of: KeyFunction, lines: Sequence[bytes], shards: int) -> list[int]:
    """Return the shard of each line; see `shard_of`."""
    numbers: list[int] = (np.frombuffer(keys_of(key_of, lines), ">u8")[::2] % shards).tolist()
    return numbers


def shard_of(key: bytes, shards: int) -> int:
    """Return the shard, from 0, of the event with this deduplication key; the same in every run and process."""
    return int.from_bytes(key[:8], "big") % shards
