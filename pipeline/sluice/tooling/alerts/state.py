"""What each channel was sent, remembered as numbered snapshots in a store, and leases that let one run send at a time.

A store only creates files, and refuses a name that exists. So the snapshot with the highest number counts, and of two
runs that write the same number, one finds out and reads again. A run that sends holds a lease in the newest snapshot;
another run waits until it ends. A run that died with a lease is overtaken when the lease is over.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from sluice.clock import Clock, system_clock
from sluice.errors import StorageError
from sluice.storage import Store
from sluice.tooling.monitors.finding import Finding

_NAME = re.compile(r"([0-9]{8})\.json")
_POLL_SECONDS = 0.2


class AlertKey(NamedTuple):
    """What makes two findings the same alert; `day` is in ISO 8601, or '' if it is about now."""

    monitor: str
    check: str
    metric: str
    day: str
    kind: str

    @classmethod
    def of(cls, finding: Finding) -> AlertKey:
        """Return the key of a finding."""
        day = "" if finding.day is None else finding.day.isoformat()
        return cls(finding.monitor, finding.check, finding.metric, day, finding.kind)


class _Lease(msgspec.Struct):
    run: str
    until: float
    """In epoch seconds."""


class _Sent(msgspec.Struct):
    key: AlertKey
    at: float
    """Epoch seconds of the last message about it."""


class _Snapshot(msgspec.Struct):
    channels: dict[str, list[_Sent]] = {}
    lease: _Lease | None = None


Sent = Mapping[str, Mapping[AlertKey, float]]
"""Channel -> alert that it was sent and that was not resolved since -> epoch seconds of the last message about it."""


@dataclass
class Changes:
    """What a run adds to the state, and what it takes out of it: alerts by channel."""

    sent: dict[str, dict[AlertKey, float]] = field(default_factory=dict)
    forgotten: dict[str, set[AlertKey]] = field(default_factory=dict)

    def apply(self, before: Sent) -> dict[str, dict[AlertKey, float]]:
        """Return the state after these changes."""
        channels = {name: dict(alerts) for name, alerts in before.items()}
        for name, alerts in self.sent.items():
            channels.setdefault(name, {}).update(alerts)
        for name, keys in self.forgotten.items():
            for key in keys:
                channels.get(name, {}).pop(key, None)
        return channels


class AlertState:
    """The state of all channels in a folder, which may be local or in a bucket."""

    def __init__(
        self, store: Store, *, clock: Clock = system_clock, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """`store` is the folder, which must be used for nothing else; it need not exist."""
        self._store = store
        self._clock = clock
        self._sleep = sleep

    def read(self) -> Sent:
        """Return what each channel was sent.

        Raises:
            StorageError: the folder cannot be read, or its newest snapshot is not one.

        """
        return _by_channel(self._newest()[1])

    @contextmanager
    def lease(self, seconds: float) -> Iterator[tuple[Sent, Changes]]:
        """Wait until no other run sends, and yield the state with the changes to fill in; they are written at the end.

        `seconds` is how long this run may take, and how long it waits for another one at most.

        Raises:
            StorageError: the state cannot be read or written.

        """
        run = secrets.token_hex(8)
        before = self._claim(run, seconds)
        changes = Changes()
        try:
            yield before, changes
        finally:
            self._write(run, changes)

    def _claim(self, run: str, seconds: float) -> Sent:
        waited = 0.0
        while True:
            number, snapshot = self._newest()
            now = self._clock()
            if snapshot.lease is not None and now < snapshot.lease.until and waited < seconds:
                self._sleep(_POLL_SECONDS)
                waited += _POLL_SECONDS
                continue
            snapshot.lease = _Lease(run, now + seconds)
            if self._create(number + 1, snapshot):
                return _by_channel(snapshot)

    def _write(self, run: str, changes: Changes) -> None:
        while True:
            number, snapshot = self._newest()
            after = changes.apply(_by_channel(snapshot))
            snapshot.channels = {
                name: [_Sent(key, at) for key, at in sorted(alerts.items())] for name, alerts in after.items()
            }
            if snapshot.lease is not None and snapshot.lease.run == run:
                snapshot.lease = None
            if self._create(number + 1, snapshot):
                return

    def _newest(self) -> tuple[int, _Snapshot]:
        names = [name for name in self._store.list("") if _NAME.fullmatch(name)]
        if not names:
            return 0, _Snapshot()
        newest = max(names)
        try:
            return int(newest[:8]), msgspec.json.decode(self._store.read(newest), type=_Snapshot)
        except msgspec.DecodeError as error:
            message = (
                f"{self._store.url(newest)}: expected what was sent to the channels of alerts, got a damaged file: "
                f"{error}; delete it to go back to the one before"
            )
            raise StorageError(message) from error

    def _create(self, number: int, snapshot: _Snapshot) -> bool:
        return self._store.create(f"{number:08d}.json", msgspec.json.encode(snapshot))


def _by_channel(snapshot: _Snapshot) -> dict[str, dict[AlertKey, float]]:
    return {name: {sent.key: sent.at for sent in alerts} for name, alerts in snapshot.channels.items()}
