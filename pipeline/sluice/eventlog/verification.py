"""Read every segment of a log again: its content, its place, its number, and that no event is there twice.

Memory holds the deduplication keys of some minute folders, however long the log is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby, islice
from typing import NamedTuple

import msgspec

from sluice.contracts import Contract
from sluice.elements import Segment
from sluice.errors import SluiceError, StorageError
from sluice.eventlog.log import EventLog
from sluice.eventlog.paths import minute_prefix, parse_segment_path, segment_file
from sluice.eventlog.placement import PlacementCheck, compile_placement_check
from sluice.eventlog.type_log import LOG_FILE, TypeLog, check_settings, first_segment
from sluice.validation.deduplication_keys import KeyFunction, shard_of

_READERS = 16
"""Folders that are read at once: each segment of an object store takes a request."""


class VerifiedSegment(NamedTuple):
    """A segment that could be read: its address, its id, which hashes its content, and how many lines it has."""

    path: str
    id: str
    lines: int


@dataclass(slots=True)
class VerifiedFolder:
    """The segments of one minute folder, and a line for each problem: file, expected, got, way out."""

    segments: list[VerifiedSegment] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Rules:
    """What the segments of one event type must be."""

    log: EventLog
    type_log: TypeLog
    key_of: KeyFunction
    check_placement: PlacementCheck | None


def verify_type_log(
    log: EventLog, event_type: str, contract: Contract | None, others: Collection[str] = ()
) -> Iterator[VerifiedFolder]:
    """Yield the folders of one event type, in order of time; the first is that of its settings file.

    Args:
        log: the log, which need not be open.
        event_type: one of its types.
        contract: that of the events; None if they have no time of their own.
        others: folders within the type's own that belong to other logs.

    Raises:
        StorageError: the log cannot be listed.

    """
    type_log = log.type_logs[event_type]
    yield _verify_settings(log, event_type, type_log)
    check_placement = None if contract is None else compile_placement_check(contract)
    verify = partial(_verify_folder, _Rules(log, type_log, type_log.compile_key(), check_placement))
    paths = (path for path in log.store.walk(type_log.folder) if path.partition("/")[0] not in others)
    folders = (list(group) for _, group in groupby(paths, key=lambda path: path.rpartition("/")[0]))
    with ThreadPoolExecutor(_READERS) as pool:
        while batch := list(islice(folders, 4 * _READERS)):
            yield from pool.map(verify, batch)


def _verify_settings(log: EventLog, event_type: str, type_log: TypeLog) -> VerifiedFolder:
    folder = type_log.folder
    try:
        if LOG_FILE in log.store.list(folder):
            check_settings(log.store, event_type, type_log, log.shards)
        elif first_segment(log.store, type_log) is not None:
            path = log.store.url(type_log.settings_path)
            return VerifiedFolder(
                problems=[f"{path}: expected the settings of the log, got none; restore it"]
            )
    except SluiceError as error:
        return VerifiedFolder(problems=[str(error)])
    return VerifiedFolder()


def _verify_folder(rules: _Rules, paths: Sequence[str]) -> VerifiedFolder:
    result = VerifiedFolder()
    numbered: dict[int, dict[int, str]] = defaultdict(dict)
    for path in paths:
        name = parse_segment_path(path)
        if name is not None and (name.folder, name.name) == (rules.type_log.folder, rules.type_log.name):
            numbered[name.minute][name.number] = path
        elif path.rpartition("/")[2] != LOG_FILE:
            result.problems.append(
                f"{rules.log.store.url(path)}: expected segments of {rules.type_log.name} alone, got another file; "
                "move it away, or give it its name again"
            )
    for minute, files in numbered.items():
        result.problems += _missing(rules, minute, files)
        keys: dict[bytes, str] = {}
        for number, path in sorted(files.items()):
            _verify_segment(rules, path, number, keys, result)
    return result


def _missing(rules: _Rules, minute: int, numbers: Collection[int]) -> Iterator[str]:
    """Yield a problem for each number that a later one of its shard needs: numbers have no gaps."""
    shards = rules.log.shards
    folder, stem = minute_prefix(rules.type_log.name, minute, rules.type_log.folder)
    for shard in range(shards):
        last = max((number for number in numbers if (number - 1) % shards == shard), default=0)
        for number in range(shard + 1, last, shards):
            if number not in numbers:
                path = rules.log.store.url(f"{folder}/{segment_file(stem, number)}")
                yield f"{path}: expected a segment, since there is a later one, got none; restore it"


def _verify_segment(
    rules: _Rules, path: str, number: int, keys: dict[bytes, str], result: VerifiedFolder
) -> None:
    """Add a segment and its problems to `result`, and its keys to those of its folder (key -> file)."""
    try:
        segment = rules.log.read(rules.log.store.url(path))
    except StorageError as error:
        result.problems.append(str(error))
        return
    result.segments.append(VerifiedSegment(segment.path, segment.id, len(segment.lines)))
    try:
        if rules.check_placement is not None:
            rules.check_placement(segment)
        line_keys = _keys(rules.key_of, segment)
    except StorageError as error:
        result.problems.append(str(error))
        return
    result.problems += _problems_of_keys(rules.log.shards, number, segment, line_keys, keys)
    for key in line_keys:
        keys.setdefault(key, segment.path)


def _keys(key_of: Callable[[bytes], bytes], segment: Segment) -> list[bytes]:
    try:
        return list(map(key_of, segment.lines))
    except (msgspec.DecodeError, ValueError) as error:
        message = f"{segment.path}: expected events of {segment.event_type}, got {error}; it was changed: restore it"
        raise StorageError(message) from error


def _problems_of_keys(
    shards: int, number: int, segment: Segment, line_keys: Sequence[bytes], keys: dict[bytes, str]
) -> Iterator[str]:
    """Yield a problem if an event is in the folder before, or twice here, and if one belongs to another shard."""
    if len(set(line_keys)) < len(line_keys) or not keys.keys().isdisjoint(line_keys):
        own: set[bytes] = set()
        for line, key in enumerate(line_keys, 1):
            if key in keys or key in own:
                place = keys.get(key, segment.path)
                yield (
                    f"{segment.path}: line {line}: expected each event once in its folder, got one that is in "
                    f"{place}, too; restore the file"
                )
                break
            own.add(key)
    wrong = next((key for key in line_keys if shard_of(key, shards) != (number - 1) % shards), None)
    if wrong is not None:
        yield (
            f"{segment.path}: line {line_keys.index(wrong) + 1}: expected an event of shard {(number - 1) % shards}, "
            f"got one of {shard_of(wrong, shards)}; the file was renamed or changed: restore it"
        )
