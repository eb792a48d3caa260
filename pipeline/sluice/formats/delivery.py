"""The member `_id` of a stored line: where its record was delivered, for contracts with identity `delivery`.

It is the last member of the line, appended to the record as it came. A record may have an `_id` of its own, as
documents of MongoDB do: it stays where it is, and is a property outside the contract like any other.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from sluice.contracts import DELIVERY_KEY
from sluice.provenance import Origin, Provenance

_KEY = b'"%b":' % DELIVERY_KEY.encode()
_BEGIN = _KEY + b'"'
"""What the member begins with. The delivery itself cannot hold it, since JSON escapes the quotes in it."""

_decode = msgspec.json.Decoder(str).decode


def with_delivery(line: bytes, delivery: str) -> bytes:
    """Return the line of an object with `delivery` as its last member."""
    body = line.rstrip()[:-1].rstrip()
    comma = b"" if body.endswith(b"{") else b","
    return body + comma + _KEY + msgspec.json.encode(delivery) + b"}"


def with_deliveries(lines: Iterable[bytes], provenance: Provenance, indexes: Iterable[int]) -> list[bytes]:
    """Return each line with where its record, which has the index beside it, was delivered."""
    return [
        with_delivery(line, _delivery(provenance.origin(index)))
        for line, index in zip(lines, indexes, strict=True)
    ]


def _delivery(origin: Origin) -> str:
    if origin.message_id is not None:
        return origin.message_id
    coordinates = (origin.uri, origin.partition, origin.offset)
    return "/".join(str(part) for part in coordinates if part is not None)


def delivery_of(line: bytes) -> str:
    """Return the delivery of a stored line.

    Raises:
        msgspec.DecodeError: its last member is none, as somebody has changed the line.

    """
    return _decode(line[line.rfind(_BEGIN) + len(_KEY) : -1])


def without_delivery(line: bytes) -> bytes:
    """Return a stored line as its record came; a line without a delivery as it is."""
    at = line.rfind(_BEGIN)
    try:
        _decode(line[at + len(_KEY) : -1])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return line
    return line[:at].removesuffix(b",") + b"}" if at > 0 else line
