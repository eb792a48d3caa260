"""One event type of an event log: its folder, its deduplication key, and the settings file that fixes both."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from sluice.contracts import Contract
from sluice.errors import ConfigError, LogChangedError, StorageError
from sluice.eventlog.paths import parse_segment_path
from sluice.storage import Store
from sluice.validation.content import ContentFunction, compile_content
from sluice.validation.deduplication_keys import KeyFunction, compile_deduplication_key

FORMAT = 1
"""Version of the layout that this package reads and writes."""

PRESENCE_SECONDS = 10.0
"""A writer looks for the settings file at most so often: a request of its own, in an object store."""

LOG_FILE = "_log.json"
"""Name of the settings file in the folder of an event type."""

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class TypeLog:
    """One event type of a log: where its files lie, and which of its lines are the same event.

    `compile_key` is called once in each process, when the first line arrives. It returns the function that computes
    the deduplication key of a line. It must pickle, since a TypeLog travels to workers. `rule` describes the key in
    the settings file, where it is fixed for the life of the log. If lines with the same key can differ,
    `compile_content` returns the function that hashes what is compared.
    """

    folder: str
    name: str
    rule: str
    compile_key: Callable[[], KeyFunction]
    compile_content: Callable[[], ContentFunction] | None = None

    def __post_init__(self) -> None:
        """Reject names that would lie outside the folder of the log, or be hidden in it, with a ConfigError."""
        for part in (self.name, *filter(None, self.folder.split("/"))):
            if not _SAFE_NAME.fullmatch(part):
                message = f"{part!r}: expected letters, digits, '_', '.' and '-' in an event type's name"
                raise ConfigError(message)

    @property
    def settings_path(self) -> str:
        """The path of the settings file in its store."""
        return f"{self.folder}/{LOG_FILE}" if self.folder else LOG_FILE

    @classmethod
    def of(cls, contract: Contract, folder: str | None = None) -> TypeLog:
        """Return the log of a contract's events, in the folder of that name or else named by the event type."""
        unique = [prop.name for prop in contract.properties if prop.unique]
        by_properties = contract.identity == "properties"
        rule = f"properties {', '.join(unique)}" if by_properties else contract.identity
        return cls(
            folder=contract.event_type if folder is None else folder,
            name=contract.event_type,
            rule=f"{rule}; content" if contract.on_conflict == "keep_both" else rule,
            compile_key=partial(compile_deduplication_key, contract),
            compile_content=partial(compile_content, contract) if contract.finds_conflicts else None,
        )


def open_type_log(store: Store, event_type: str, type_log: TypeLog, shards: int) -> None:
    """Create the settings file of `type_log`, or check the one that exists.

    Raises:
        ConfigError: the log was created with other shards or another deduplication key than the job's.
        StorageError: the store cannot be written, the file is not a settings file, or there is none beside segments.

    """
    settings = _settings(event_type, type_log, shards)
    _check_new(store, type_log, settings)
    text = msgspec.json.format(msgspec.json.encode(settings), indent=2) + b"\n"
    if not store.create(type_log.settings_path, text):
        check_settings(store, event_type, type_log, shards)


def _check_new(store: Store, type_log: TypeLog, settings: Mapping[str, object]) -> None:
    """Refuse a log that has segments and no settings file: another one could say other shards or another key."""
    if LOG_FILE in store.list(type_log.folder):
        return
    segment = first_segment(store, type_log)
    # Another run may have created the log since it was listed.
    if segment is not None and LOG_FILE not in store.list(type_log.folder):
        message = (
            f"{store.url(type_log.settings_path)}: expected the settings of this log, since it has {store.url(segment)}"
            ", got none; restore the file, or, if the log was always written with the settings of this job, create it "
            f"with {msgspec.json.encode(settings).decode()}"
        )
        raise StorageError(message)


def first_segment(store: Store, type_log: TypeLog) -> str | None:
    """Return the path of a segment of `type_log`; None if there is none."""
    start = len(type_log.folder) + 1 if type_log.folder else 0
    for path in store.walk(type_log.folder):
        name = parse_segment_path(path)
        if name is not None and (name.folder, name.name) == (type_log.folder, type_log.name):
            return path
        if path[start : start + 1] > "9":  # behind the folders of years, where other logs may lie
            return None
    return None


def check_settings(store: Store, event_type: str, type_log: TypeLog, shards: int) -> None:
    """Check the settings file of `type_log`; raises as `open_type_log` does, and StorageError if there is none."""
    path = type_log.settings_path
    _check_settings(store.url(path), store.read(path), _settings(event_type, type_log, shards))


def _settings(event_type: str, type_log: TypeLog, shards: int) -> dict[str, object]:
    return {"format": FORMAT, "event_type": event_type, "identity": type_log.rule, "shards": shards}


class SettingsPresence:
    """Whether the settings files of an open log are still there: a log that was deleted meanwhile has none.

    Threads may share it. A copy in another process checks for itself.
    """

    def __init__(self) -> None:
        """Expect nothing: the log is not open."""
        self._is_expected = False
        self._checked: dict[str, float] = {}

    def __getstate__(self) -> bool:
        """Pickle whether the log is open."""
        return self._is_expected

    def __setstate__(self, is_expected: bool) -> None:
        """Begin without checks in this process."""
        self._is_expected, self._checked = is_expected, {}

    def expect(self) -> None:
        """Expect the files from now on: the log is open."""
        self._is_expected = True

    def check(self, store: Store, type_log: TypeLog, *, seldom: bool = False) -> None:
        """Check one event type; `seldom`: not again within `PRESENCE_SECONDS`.

        Raises:
            StorageError: the file is gone.

        """
        now = time.monotonic()
        if not self._is_expected or (
            seldom and now < self._checked.get(type_log.settings_path, -math.inf) + PRESENCE_SECONDS
        ):
            return
        if LOG_FILE not in store.list(type_log.folder):
            message = (
                f"{store.url(type_log.settings_path)}: expected the log that was there when the run started, got "
                "none: it was deleted or moved; restore it, and run again"
            )
            raise LogChangedError(message)
        self._checked[type_log.settings_path] = now


def _check_settings(url: str, text: bytes, settings: Mapping[str, object]) -> None:
    """Reject a job whose `settings` differ from the settings file with content `text`."""
    try:
        stored = msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError as error:
        message = f"{url}: expected a JSON object with {', '.join(settings)}, got {error}"
        raise StorageError(message) from error
    for key, value in settings.items():
        if stored.get(key) != value:
            expected = msgspec.json.encode(stored.get(key)).decode()
            message = (
                f"{url}: {key}: expected {expected}, as this log was created with, "
                f"got {msgspec.json.encode(value).decode()} from the job; change the job, or use another folder"
            )
            raise ConfigError(message)
