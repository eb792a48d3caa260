"""Whether the events of a segment belong into the folder that it lies in: an edited or moved file has others."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec

from sluice.contracts import Contract
from sluice.elements import Segment
from sluice.errors import LogChangedError
from sluice.validation.batch_checks import attribute_names
from sluice.validation.decoder import compile_struct
from sluice.validation.records import PARTITION_MINUTES

PlacementCheck = Callable[[Segment], None]
"""Raises LogChangedError if an event of the segment has a time outside the segment's folder."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def compile_placement_check(contract: Contract) -> PlacementCheck:
    """Compile the check of a contract's segments.

    Events without a time of their own are wherever they arrived, so they are in the right place anywhere.
    """
    properties = [prop.unlimited() for prop in contract.properties if prop.name == contract.event_time]
    if not properties:
        return _accept
    attribute = attribute_names(properties)[properties[0].name]
    decode = msgspec.json.Decoder(compile_struct(contract.event_type, properties)).decode
    minutes = PARTITION_MINUTES[contract.log_partition]

    def check(segment: Segment) -> None:
        first = _EPOCH + timedelta(seconds=segment.minute)
        # Not the end: the folder of the last minute ends where Python's years do.
        last = first + timedelta(minutes=minutes, microseconds=-1)
        for number, line in enumerate(segment.lines, 1):
            try:
                time = getattr(decode(line), attribute)
            except (msgspec.DecodeError, ValueError) as error:
                message = (
                    f"{segment.path}: line {number}: expected an event of {segment.event_type}, got {error}; "
                    "the file was changed: restore it"
                )
                raise LogChangedError(message) from error
            if time is None:
                continue
            if not first <= (time if time.tzinfo is not None else time.replace(tzinfo=UTC)) <= last:
                message = (
                    f"{segment.path}: line {number}: expected an event from {_text(first)} to {_text(last)}, "
                    f"got {_text(time)}; the file was moved or changed: restore it"
                )
                raise LogChangedError(message)

    return check


def _accept(_: Segment) -> None:
    """Accept every segment."""


def _text(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")
