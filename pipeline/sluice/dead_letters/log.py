"""The event log of dead letters, with their redelivery entries and their quarantine."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import xxhash

from sluice.config.urls import Url
from sluice.dead_letters.envelope import dead_letter_contract
from sluice.elements import DEAD_LETTER, QUARANTINE, REDELIVERY
from sluice.errors import StorageError
from sluice.eventlog.log import AppendResult, EventLog
from sluice.eventlog.type_log import LOG_FILE, TypeLog
from sluice.storage import open_store
from sluice.storage.local import LocalStore
from sluice.validation.deduplication_keys import KeyFunction


class DeadLetterLog(EventLog):
    """The event log of dead letters, and in a store of its own that of the quarantine.

    Dead letters whose record cannot be searched for values to mask are in the quarantine.
    """

    quarantine: EventLog

    @classmethod
    def at(
        cls, address: str | Url, quarantine: str | Url | None = None, *, redeliveries: bool = False
    ) -> DeadLetterLog:
        """Return the log at `address`, with `redeliveries` in its folder `redelivery`; nothing is read or written yet.

        The quarantine is the folder `quarantine` in it, unless its address is given.
        """
        # Of one failure the first dead letter stays; later ones differ in the time of rejection alone.
        dead_letters = replace(TypeLog.of(dead_letter_contract(), folder=""), compile_content=None)
        type_logs = {DEAD_LETTER: dead_letters}
        if redeliveries:
            rule = "properties letter_id, attempt"
            type_logs[REDELIVERY] = TypeLog(REDELIVERY, REDELIVERY, rule, _compile_entry_key)
        url = Url.of(address)
        log = cls(open_store(url), type_logs)
        store = open_store(url.child(QUARANTINE) if quarantine is None else quarantine)
        log.quarantine = EventLog(store, {QUARANTINE: dead_letters})
        return log

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave the caches behind, as `EventLog` does."""
        return _restore, (*super().__reduce__()[1], self.quarantine)

    @property
    def has_redeliveries(self) -> bool:
        """Whether anything was redelivered."""
        return LOG_FILE in self.store.list(REDELIVERY)

    def open_quarantine(self) -> None:
        """Open the quarantine as `open` does; only its owner can read a folder on this machine.

        Raises:
            StorageError: the folder cannot be created.

        """
        if isinstance(self.quarantine.store, LocalStore):
            try:
                os.makedirs(self.quarantine.store.root, mode=0o700, exist_ok=True)
            except OSError as error:
                message = f"{self.quarantine.store.root}: cannot make the folder: {error.strerror}"
                raise StorageError(message) from error
        self.quarantine.open()

    def check_presence(self) -> None:
        """Check the quarantine, too; see `EventLog.check_presence`."""
        super().check_presence()
        self.quarantine.check_presence()

    def append(self, event_type: str, minute: int, shard: int, lines: Sequence[bytes]) -> AppendResult:
        """Append to the log that `event_type` belongs to; see `EventLog.append`."""
        if event_type == QUARANTINE:
            return self.quarantine.append(event_type, minute, shard, lines)
        return super().append(event_type, minute, shard, lines)


def _restore(*arguments: Any) -> DeadLetterLog:
    """Return the log of the arguments of `EventLog`, and of its quarantine."""
    *of_log, quarantine = arguments
    log = DeadLetterLog(*of_log)
    log.quarantine = quarantine
    return log


def _compile_entry_key() -> KeyFunction:
    """Compile the deduplication key of redelivery entries: of one attempt the first entry stays."""
    struct = msgspec.defstruct("EntryKey", [("letter_id", str), ("attempt", int)], gc=False)
    decode: Callable[[bytes], Any] = msgspec.json.Decoder(struct).decode

    def key_of(line: bytes) -> bytes:
        entry = decode(line)
        return xxhash.xxh3_128_digest(f"{entry.letter_id}/{entry.attempt}".encode())

    return key_of
