"""The methods that contracts can mask a value by: `hash`, `truncate_ip` and `drop`.

A masked value cannot be turned back. The same value and key always give the same masked value, so events can still be
distinguished, counted and joined.
"""

from __future__ import annotations

import hmac
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from sluice.contracts import Mask, ValuePath
from sluice.contracts.patterns import UUID_PATTERN

BY_STRENGTH: Sequence[Mask] = ("truncate_ip", "hash", "drop")
"""Methods from the one that reveals most to the one that reveals nothing."""

_KEPT_BYTES = {socket.AF_INET: 3, socket.AF_INET6: 6}
"""How much of an address `truncate_ip` keeps: 24 or 48 bits."""

_IPV4_MAPPED = bytes(10) + b"\xff\xff"
"""The first bytes of an IPv4 address in IPv6 form (RFC 4291, 2.5.5.2)."""

_is_uuid = re.compile(UUID_PATTERN).fullmatch
_decode_string = msgspec.json.Decoder(str).decode
encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class MaskedValues:
    """What was masked in one record: paths, with `ITEM` for the items of an array, and the raw texts at them."""

    paths: set[ValuePath] = field(default_factory=set)
    raw_texts: list[str] = field(default_factory=list)
    has_repeated_keys: bool = False
    """A key occurs twice in one object; only its last value was masked and stored."""

    def add(self, path: ValuePath, raw_text: str) -> None:
        """Note that `raw_text` was at `path`."""
        self.paths.add(path)
        self.raw_texts.append(raw_text)

    @property
    def changed(self) -> bool:
        """Whether the record is not as received."""
        return bool(self.paths) or self.has_repeated_keys


MaskFunction = Callable[[bytes | msgspec.Raw, ValuePath, MaskedValues], msgspec.Raw | None]
"""JSON text of a value, its path and what was masked so far -> the text that replaces it; None removes the member."""


def compile_methods(key: bytes) -> Mapping[Mask, MaskFunction]:
    """Return the function of each method; `key` is that of the hashes (HMAC-SHA256)."""
    keyed = hmac.new(key, digestmod="sha256")

    def digest(value: bytes) -> bytes:
        copy = keyed.copy()  # takes half the time of a new one
        copy.update(value)
        return copy.digest()

    def hash_value(raw: bytes | msgspec.Raw, path: ValuePath, masked: MaskedValues) -> msgspec.Raw | None:
        text = string_content(raw)
        masked.add(path, bytes(raw).decode() if text is None else text)
        if text is None:
            # A value of another type must not become a string: it would then satisfy a contract that it violates.
            return msgspec.Raw(encode({"_protected": digest(bytes(raw)).hex()}))
        if _is_uuid(text) is None:
            return msgspec.Raw(encode(digest(text.encode("utf-8", "surrogatepass")).hex()))
        return msgspec.Raw(encode(_uuid8(digest(text.lower().encode()))))

    def truncate_ip(raw: bytes | msgspec.Raw, path: ValuePath, masked: MaskedValues) -> msgspec.Raw | None:
        text = string_content(raw)
        network = None if text is None else _network(text)
        if text is None or network is None:
            return hash_value(raw, path, masked)
        masked.add(path, text)
        return msgspec.Raw(encode(network))

    def drop(raw: bytes | msgspec.Raw, path: ValuePath, masked: MaskedValues) -> msgspec.Raw | None:
        text = string_content(raw)
        masked.add(path, bytes(raw).decode() if text is None else text)
        return None

    return {"hash": hash_value, "truncate_ip": truncate_ip, "drop": drop}


def string_content(raw: bytes | msgspec.Raw) -> str | None:
    """Return the content of a JSON string; None if the value is no string."""
    try:
        return _decode_string(raw)
    except msgspec.ValidationError:
        return None


def _uuid8(digest: bytes) -> str:
    """Return the first bytes of a hash as a UUID (version 8 of RFC 9562), so that a UUID's hash is one, too."""
    digits = digest.hex()
    variant = "89ab"[digest[8] & 3]
    return f"{digits[:8]}-{digits[8:12]}-8{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"


def _network(text: str) -> str | None:
    """Return the network that an address is in, as an address; None if `text` is no address."""
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    try:
        address = socket.inet_pton(family, text.partition("%")[0])
    except (OSError, ValueError):  # ValueError: a zero character
        return None
    if address.startswith(_IPV4_MAPPED):
        family, address = socket.AF_INET, address[len(_IPV4_MAPPED) :]
    return socket.inet_ntop(family, address[: _KEPT_BYTES[family]].ljust(len(address), b"\0"))
