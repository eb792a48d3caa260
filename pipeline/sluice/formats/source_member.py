"""The member `_source` of a stored line: where its record came from, for contracts with identity `export`.

It is the last member of the line, appended to the record as it came: `"_source":{"uri":"sales/monday.csv",
"arrived_at":"2025-01-08T10:00:00Z","position":42}`. So the event log itself keeps, for ever and in the same
atomic write, what puts exports in order. A record may have a `_source` of its own, which is a property outside the
contract like any other.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import msgspec

from sluice.contracts import SOURCE_KEY
from sluice.provenance import FileProvenance, Origin, Provenance

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BEGIN = b'"%b":{"uri":"' % SOURCE_KEY.encode()
"""What the member begins with. Its own texts cannot hold it, since JSON escapes the quotes in them."""

_POSITION = b',"position":'


class Source(msgspec.Struct, frozen=True):
    """Where a stored event came from; `position` is an offset in the file or partition, or a place."""

    uri: str
    arrived_at: datetime
    position: int


_decode = msgspec.json.Decoder(Source).decode


def with_source(line: bytes, origin: Origin) -> bytes:
    """Return the line of an object with the origin of its record as its last member.

    A record whose source gave no time has arrived in 1970: when it was read is another time when it is read again.
    """
    uri = origin.uri if origin.partition is None else f"{origin.uri}/{origin.partition}"
    export = _export(uri, origin.arrival if origin.timed else 0.0)
    return _with_member(line, export, origin.place if origin.offset is None else origin.offset)


def with_sources(lines: Iterable[bytes], provenance: Provenance, indexes: Iterable[int]) -> list[bytes]:
    """Return `with_source` of each line, whose record has the index beside it; in less time for those of a file."""
    if not isinstance(provenance, FileProvenance):
        return [
            with_source(line, provenance.origin(index)) for line, index in zip(lines, indexes, strict=True)
        ]
    export = _export(provenance.uri, provenance.arrival)
    offsets = provenance.offsets[:]  # a list, where each would be computed on demand
    behind_value = b"," + export
    return [
        b"%b%b%d}}" % (line[:-1], behind_value, offsets[index])
        if line[-2:] in _ENDS
        else _with_member(line, export, offsets[index])
        for line, index in zip(lines, indexes, strict=True)
    ]


_ENDS = frozenset(b"%c}" % end for end in b'"]}el0123456789')
"""How an object ends that has a member, without blanks: most lines do."""


def _with_member(line: bytes, export: bytes, position: int) -> bytes:
    body = line.rstrip()[:-1].rstrip()
    return b"%b%b%b%d}}" % (body, b"" if body.endswith(b"{") else b",", export, position)


@lru_cache(maxsize=1024)
def _export(uri: str, arrival: float) -> bytes:
    """Return the member up to the position: the same for all records of a file."""
    arrived_at = _EPOCH + timedelta(microseconds=round(arrival * 1e6))
    members = msgspec.json.encode({"uri": uri, "arrived_at": arrived_at})
    return b'"%b":%b%b' % (SOURCE_KEY.encode(), members[:-1], _POSITION)


def source_of(line: bytes) -> Source:
    """Return the source of a stored line.

    Raises:
        msgspec.DecodeError: its last member is none, as somebody has changed the line.

    """
    return _decode(line[line.rfind(_BEGIN) + len(SOURCE_KEY) + 3 : -1])


def without_position(line: bytes) -> bytes:
    """Return a stored line up to the position: the record, and the export that it came in.

    Raises:
        msgspec.DecodeError: its last member is no source, as somebody has changed the line.

    """
    at = line.rfind(_POSITION)
    if at < 0 or line.rfind(_BEGIN) < 0 or not line.endswith(b"}}"):
        message = f"expected {SOURCE_KEY} as the last member of the line"
        raise msgspec.DecodeError(message)
    return line[:at]


def without_source(line: bytes) -> bytes:
    """Return a stored line as its record came; a line without a source as it is."""
    at = line.rfind(_BEGIN)
    return line[:at].removesuffix(b",") + b"}" if at > 0 else line
