"""A Pub/Sub subscription as one process reads it: pulls in flight, leases on received messages, acknowledgements.

Requests are gRPC futures on raw protobuf messages: google-cloud-pubsub opens the channel, but its wrappers cost
more for each message than decoding it, and its streaming pull wants to acknowledge one message at a time.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from sluice.acknowledgements import MAX_OUTSTANDING_BYTES, MAX_OUTSTANDING_RECORDS
from sluice.clock import Clock, system_clock
from sluice.elements import RECORD_BYTES
from sluice.retry import wait_until
from sluice.run_state import Backlog, RunState
from sluice.sources.pubsub.client import failures_of, method, open_client, retryable_ids, split_ack_ids
from sluice.sources.pubsub.identity import SubscriptionIdentity

_LOGGER = logging.getLogger("sluice")

_PULLED_AT_ONCE = 1000
"""Messages that one pull may bring; Pub/Sub's own limit."""

_PULLS = 4
"""Pulls in flight; a single one waits for the network most of its time."""

_PULL_SECONDS = 30.0
"""How long a pull waits for a message."""

_BATCH_MESSAGES = 10_000
_BATCH_BYTES = 8 << 20
_GATHER_SECONDS = 0.1
"""A batch ends at these sizes, or that long after its first message. A pull brings some hundred messages."""

_CALL_SECONDS = 10.0
"""How long an acknowledgement or an extension may take."""

_FIRST_LEASE = 10.0
"""Seconds of the first lease on a pulled message; Pub/Sub's lowest acknowledgement deadline."""

_LEASE = 30
"""Seconds by which a lease is extended; that soon Pub/Sub delivers the messages of a killed process again."""

_MARGIN = 6.0
"""A lease that ends within this many seconds is extended."""

_TICK = 1.0
"""Seconds between two rounds of extending leases and sending acknowledgements."""

_SAMPLE_SECONDS = 5.0
"""How far back publish times are considered, and how far behind the clock the watermark of an idle source is."""

_IDLE_SECONDS = 1.0
"""A pull that has waited this long has found no message."""

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 10.0
"""Seconds between attempts while something fails."""

_CLOSE_SECONDS = 20.0
"""How long the last acknowledgements are retried."""


@dataclass(eq=False, slots=True)
class Lease:
    """Messages that Pub/Sub delivers to no other client until `expires`; both times are monotonic seconds."""

    ack_ids: list[str]
    size: int
    since: float
    expires: float


class PullResponse(NamedTuple):
    """The answer to one pull: raw ReceivedMessages, and the lease on them."""

    messages: Sequence[Any]
    lease: Lease


@dataclass(slots=True)
class PublishTimes:
    """Estimates when the oldest message was published that has not been taken yet.

    Pub/Sub delivers in about the order of publishing, so what comes next is hardly older than the oldest of the
    last seconds. All times are epoch seconds.
    """

    _recent: deque[tuple[float, float]] = field(default_factory=deque)

    def taken(self, now: float, oldest: float) -> None:
        """Record that messages were taken, the oldest of them published at `oldest`."""
        self._recent.append((now, oldest))

    def oldest_unread(self, now: float, idle: bool) -> float | None:
        """Return the estimate; None if there is none. `idle`: pulls are waiting, and no message arrives."""
        while self._recent and self._recent[0][0] < now - _SAMPLE_SECONDS:
            self._recent.popleft()
        if self._recent:
            return min(oldest for _, oldest in self._recent)
        return now - _SAMPLE_SECONDS if idle else None


@dataclass(slots=True)
class Outage:
    """Logs once that an action fails, and decides when it may be tried again. Times are monotonic seconds.

    Its back-off is that of RetryPolicy, but driven by events: answers come in threads of gRPC, several requests fail
    at once, and no thread may sleep in a loop meanwhile.
    """

    action: str
    _since: float | None = None
    _pause: float = 0.0
    _next: float = 0.0

    @property
    def is_ongoing(self) -> bool:
        """The last attempt failed."""
        return self._since is not None

    def may_try(self, now: float) -> bool:
        """Return whether the pause after the last failure is over."""
        return now >= self._next

    def failed(self, now: float, reason: str) -> None:
        """Record a failure; a failure during a pause belongs to an attempt that began before it."""
        if now < self._next:
            return
        if self._since is None:
            self._since = now
            _LOGGER.warning("cannot %s: %s; trying again until it works", self.action, reason)
        self._pause = min(self._pause * 2 or _FIRST_PAUSE, _LONGEST_PAUSE)
        self._next = now + random.uniform(0.5, 1) * self._pause

    def succeeded(self, now: float) -> None:
        """Record a success."""
        if self._since is not None:
            _LOGGER.warning("can %s again, after %.0f s", self.action, now - self._since)
            self._since, self._pause, self._next = None, 0.0, 0.0


class Subscriber:
    """Pulls messages ahead of `take`, extends their leases, acknowledges those that are stored. Safe for threads.

    No pull is begun while enough messages wait for `take`. Failed requests are repeated; a message that cannot be
    acknowledged is delivered again, and removed as a duplicate by the event log. A lease is extended for at most
    `max_lease` seconds: after that, no step is left that would complete it.
    """

    def __init__(
        self,
        subscription: str,
        max_lease: float = float("inf"),
        clock: Clock = system_clock,
        backlog: Backlog | None = None,
    ) -> None:
        """Connect; `subscription` is `projects/P/subscriptions/S`. Its answers are recorded in `backlog`."""
        from google.cloud.pubsub_v1 import types

        self._subscription = subscription
        self._max_lease = max_lease
        self._clock = clock
        self._backlog = backlog or Backlog()
        self._client = open_client()
        call = partial(method, self._client, subscription)
        self._pull = call("Pull", types.PullResponse.pb())
        self._acknowledge = call("Acknowledge")
        self._modify = call("ModifyAckDeadline")
        self._pull_request = types.PullRequest.pb()(subscription=subscription, max_messages=_PULLED_AT_ONCE)
        self._ack_request = types.AcknowledgeRequest.pb()
        self._modify_request = types.ModifyAckDeadlineRequest.pb()
        self._changed = threading.Condition()
        self._pulling = True
        self._inflight: dict[Any, float] = {}
        self._ready: list[PullResponse] = []
        self._leases: dict[Lease, None] = {}
        self._messages = self._bytes = 0
        self._acks: list[str] = []
        self._times = PublishTimes()
        self._pull_outage = Outage(f"pull from {subscription}")
        self._ack_outage = Outage(f"acknowledge messages of {subscription}")
        self.identity = SubscriptionIdentity(self._client, subscription)
        self._closing = threading.Event()
        self._maintenance = threading.Thread(target=self._maintain_leases, name="sluice-pubsub", daemon=True)
        self._maintenance.start()

    def take(self, seconds: float) -> list[PullResponse]:
        """Return the messages that wait to be taken; wait at most `seconds` for the first."""
        with self._changed:
            self._pull_more()
            if self._changed.wait_for(lambda: self._ready and not self.identity.in_doubt, seconds):
                self._changed.wait_for(self._has_full_batch, _GATHER_SECONDS)
            if self.identity.in_doubt:  # they may be of another topic
                return []
            taken, self._ready = self._ready, []
            self._pull_more()
        return taken

    def complete(self, leases: Iterable[Lease]) -> None:
        """Acknowledge the messages of `leases` soon: they are stored."""
        with self._changed:
            for lease in leases:
                if self._release(lease):
                    self._acks += lease.ack_ids

    def outstanding(self) -> int:
        """Return how many messages are not acknowledged yet."""
        with self._changed:
            return self._messages + len(self._acks)

    def is_full(self) -> bool:
        """Return whether so many messages are leased that no more should be pulled."""
        return self._messages >= MAX_OUTSTANDING_RECORDS or self._bytes >= MAX_OUTSTANDING_BYTES

    def oldest_unread(self, taken: float | None) -> float | None:
        """Return, in epoch seconds, how far a watermark may advance; see `PublishTimes`.

        `taken` is the publish time of the oldest message that has just been taken, if any was.
        """
        with self._changed:
            now = self._clock()
            if taken is not None:
                self._times.taken(now, taken)
            waiting = min(self._inflight.values(), default=float("inf")) < time.monotonic() - _IDLE_SECONDS
            idle = waiting and not self._ready and not self._pull_outage.is_ongoing
            return self._times.oldest_unread(now, idle)

    def stop_pulling(self) -> None:
        """Begin no more pulls. Those in flight continue: Pub/Sub might lease messages to a cancelled pull."""
        self._pulling = False

    def close(self) -> None:
        """Acknowledge the stored messages, return the others to Pub/Sub for redelivery, and disconnect."""
        self.stop_pulling()
        self._closing.set()
        self._maintenance.join()
        wait_until(self._send_all_acks, _CLOSE_SECONDS, _FIRST_PAUSE)
        with self._changed:
            inflight = list(self._inflight)
        for call in inflight:
            call.cancel()
        with self._changed:
            unstored = [ack_id for lease in self._leases for ack_id in lease.ack_ids]
            self._drop_leases()
        self._extend(unstored, 0)
        self._client.close()

    def _has_full_batch(self) -> bool:
        messages = sum(len(pulled.messages) for pulled in self._ready)
        return messages >= _BATCH_MESSAGES or sum(pulled.lease.size for pulled in self._ready) >= _BATCH_BYTES

    def _pull_more(self) -> None:
        """Begin pulls up to the maximum; during an outage a single one finds out whether it is over."""
        if not self._pulling or self._has_full_batch():
            return
        while self._pull_outage.may_try(time.monotonic()) and len(self._inflight) < self._max_inflight():
            call = self._pull(self._pull_request, timeout=_PULL_SECONDS)
            self._inflight[call] = time.monotonic()
            call.add_done_callback(self._on_pull_done)

    def _max_inflight(self) -> int:
        return 1 if self._pull_outage.is_ongoing else _PULLS

    def _on_pull_done(self, call: Any) -> None:
        """Handle the answer to a pull; called in a thread of gRPC."""
        now = time.monotonic()
        with self._changed:
            del self._inflight[call]
            if call.cancelled():
                return
            status = call.code().name
            if status in ("OK", "DEADLINE_EXCEEDED"):
                self._backlog.answered(self._subscription)
            if status == "OK":
                self._pull_outage.succeeded(now)
                self._add_messages(call.result(), now)
            elif status == "DEADLINE_EXCEEDED":  # no message arrived
                self._pull_outage.succeeded(now)
            else:
                self._pull_outage.failed(now, call.details())
                if status == "NOT_FOUND":
                    self._drop_leases()
                    self.identity.doubt()

    def _add_messages(self, response: Any, now: float) -> None:
        messages = response.received_messages
        if not messages:
            return
        size = response.ByteSize() + RECORD_BYTES * len(messages)
        lease = Lease([message.ack_id for message in messages], size, now, now + _FIRST_LEASE)
        self._leases[lease] = None
        self._messages += len(messages)
        self._bytes += lease.size
        self._ready.append(PullResponse(messages, lease))
        self._pull_more()
        self._changed.notify_all()

    def _release(self, lease: Lease) -> bool:
        """End a lease; return False if it has ended already."""
        if lease not in self._leases:
            return False
        del self._leases[lease]
        self._messages -= len(lease.ack_ids)
        self._bytes -= lease.size
        return True

    def _drop_leases(self) -> None:
        """Drop all ids: a subscription that was recreated would apply them to its own messages."""
        self._leases.clear()
        self._messages = self._bytes = 0
        self._acks.clear()

    def _maintain_leases(self) -> None:
        """Send acknowledgements and extend leases, in a thread of its own, until the subscriber closes."""
        self._look()
        while not self._closing.wait(_TICK):
            self._send_acks()
            self._renew(time.monotonic())
            self._look()

    def _look(self) -> None:
        self.identity.look()
        with self._changed:
            self._changed.notify_all()  # what was pulled can be taken, if it is no longer in doubt

    def _send_acks(self) -> None:
        with self._changed:
            if not self._ack_outage.may_try(time.monotonic()):
                return
            ack_ids, self._acks = self._acks, []
        unsent = self._send(self._acknowledge, self._ack_request, ack_ids)
        with self._changed:
            self._acks += unsent

    def _send_all_acks(self) -> bool:
        self._send_acks()
        return not self._acks

    def _renew(self, now: float) -> None:
        with self._changed:
            for lease in [lease for lease in self._leases if now - lease.since > self._max_lease]:
                self._release(lease)
            due = [lease for lease in self._leases if lease.expires < now + _MARGIN]
        failed = set(self._extend([ack_id for lease in due for ack_id in lease.ack_ids], _LEASE))
        for lease in due:
            if failed.isdisjoint(lease.ack_ids):
                lease.expires = now + _LEASE

    def _extend(self, ack_ids: list[str], seconds: int) -> list[str]:
        request = partial(self._modify_request, ack_deadline_seconds=seconds)
        return self._send(self._modify, request, ack_ids)

    def _send(self, send: Callable[..., Any], request: Callable[..., Any], ack_ids: list[str]) -> list[str]:
        """Send a request for each part of the ids, all at once; return the ids to send again."""
        calls = [
            (part, send(request(subscription=self._subscription, ack_ids=part), timeout=_CALL_SECONDS))
            for part in split_ack_ids(ack_ids)
        ]
        unsent = []
        for part, call in calls:
            if call.exception() is None:
                self._ack_outage.succeeded(time.monotonic())
                continue
            unsent += retryable_ids(part, call.code().name, failures_of(call))
            if unsent:
                self._ack_outage.failed(time.monotonic(), call.details())
        return unsent


def open_subscriber(subscription: str, max_lease: float | None, run: RunState) -> Subscriber:
    """Return the one subscriber of `subscription` that a run has in this process; it is closed with the run.

    With None for `max_lease`, leases end with the run.
    """
    return run.resources.get(
        subscription, lambda: Subscriber(subscription, max_lease or float("inf"), backlog=run.backlog)
    )
