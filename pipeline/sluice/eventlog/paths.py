"""Where a segment lies and what identifies it: pure rules, the same in every run and process."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import xxhash

from sluice.elements import SOURCE_FILE

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SEGMENT = re.compile(
    r"(?:(?P<folder>.+)/)?(?P<year>[0-9]{4})/(?P<month>[0-9]{2})/(?P<day>[0-9]{2})/(?P<hour>[0-9]{2})/"
    r"(?P<minute>[0-9]{2})/(?P<name>[^/]+)_[0-9]{12}(?P<number>[0-9]{4,})\.(?:nd)?json"
)
_SEGMENT_END = re.compile(r"([0-9]{4,})\.(?:nd)?json")


@dataclass(frozen=True, slots=True)
class SegmentName:
    """What the path of a segment says; `minute` is in epoch seconds, `number` counts from 1."""

    name: str
    minute: int
    number: int
    folder: str


def segment_path(name: str, minute: int, number: int, folder: str = "") -> str:
    """Return `<folder>/YYYY/MM/DD/HH/MM/<name>_YYYYMMDDHHMM<NNNN>.json`, in UTC.

    `minute` is in epoch seconds, a multiple of 60, in the years 1 to 9999. `number` has at least four digits.
    """
    prefix, stem = minute_prefix(name, minute, folder)
    return f"{prefix}/{segment_file(stem, number)}"


def minute_prefix(name: str, minute: int, folder: str) -> tuple[str, str]:
    """Return the folder of a minute, and the start of its file names up to the number."""
    if minute % 60:
        message = f"minute: expected epoch seconds that are a multiple of 60, got {minute}"
        raise ValueError(message)
    time = _EPOCH + timedelta(seconds=minute)
    parts = (
        f"{time.year:04d}",
        f"{time.month:02d}",
        f"{time.day:02d}",
        f"{time.hour:02d}",
        f"{time.minute:02d}",
    )
    return "/".join((folder, *parts) if folder else parts), f"{name}_{''.join(parts)}"


def segment_file(stem: str, number: int) -> str:
    """Return the name of a segment's file; `stem` is its start, see `minute_prefix`.

    Those of manifests, which lie below the event log, end in `.ndjson`, so that `**/*.json` finds events alone.
    """
    return f"{stem}{number:04d}.{'ndjson' if stem.rpartition('_')[0] == SOURCE_FILE else 'json'}"


def segment_number(stem: str, file: str) -> int | None:
    """Return what `segment_file` was given to make `file`, None for any other file."""
    match = _SEGMENT_END.fullmatch(file, len(stem)) if file.startswith(stem) else None
    number = int(match[1]) if match else 0
    return number if number and file == segment_file(stem, number) else None


def parse_segment_path(path: str) -> SegmentName | None:
    """Return what `segment_path` was given to make `path`; None if it makes no such path."""
    match = _SEGMENT.fullmatch(path)
    if match is None:
        return None
    year, month, day, hour, minute, number = (
        int(match[part]) for part in ("year", "month", "day", "hour", "minute", "number")
    )
    try:
        time = datetime(year, month, day, hour, minute, tzinfo=UTC)
    except ValueError:
        return None
    seconds = (time - _EPOCH) // timedelta(seconds=1)
    name = SegmentName(match["name"], seconds, number, match["folder"] or "")
    return name if number and segment_path(name.name, seconds, number, name.folder) == path else None


def segment_id(event_type: str, minute: int, data: bytes) -> str:
    """Return the hash that names a segment: 32 hex digits over its event type, its minute and its content.

    The minute counts where events have no time of their own: the same line may then come in two minutes.
    """
    digest = xxhash.xxh3_128(f"{event_type}\0{minute}\0".encode())
    digest.update(data)
    return digest.hexdigest()
