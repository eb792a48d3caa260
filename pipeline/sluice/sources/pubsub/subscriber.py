"""A Pub/Sub subscription as one process reads it: pulls in flight, leases on what came, acknowledgements.

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
from sluice.retry import wait_until
from sluice.run_state import RunState
from sluice.sources.pubsub.client import in_requests, left_over, method, open_client, refusals_of

_LOGGER = logging.getLogger("sluice")

_PULLED_AT_ONCE = 1000
"""Messages that one pull may bring; Pub/Sub's own limit."""

_PULLS = 4
"""Pulls in flight; a single one waits for the network most of its time."""

_PULL_SECONDS = 30.0
"""How long a pull waits for a message."""

_ENOUGH_MESSAGES = 10_000
_ENOUGH_BYTES = 8 << 20
_GATHER_SECONDS = 0.1
"""What makes one batch: so much, or what came so soon after the first message. Pulls bring some hundreds."""

_CALL_SECONDS = 10.0
"""How long an acknowledgement or an extension may take."""

_FIRST_LEASE = 10.0
"""Seconds for which a pulled message is ours at least; Pub/Sub's lowest acknowledgement deadline."""

_LEASE = 30
"""Seconds by which a lease is extended: what a killed process held comes again so soon."""

_MARGIN = 6.0
"""A lease that ends within so many seconds is extended."""

_TICK = 1.0
"""How often leases are looked at and acknowledgements sent, in seconds."""

_SAMPLE_SECONDS = 5.0
"""How far back publish times are looked at, and how far behind the clock the watermark of an idle source is."""

_IDLE_SECONDS = 1.0
"""A pull that has waited so long found nothing."""

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 10.0
"""Seconds between attempts while something fails."""

_CLOSE_SECONDS = 20.0
"""How long the last acknowledgements are tried."""


@dataclass(eq=False, slots=True)
class Lease:
    """Messages that Pub/Sub gives to nobody else until `expires`; `since` and `expires` are monotonic seconds."""

    ack_ids: list[str]
    size: int
    since: float
    expires: float


class Pulled(NamedTuple):
    """What one pull brought: raw ReceivedMessages, and the lease on them."""

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
        """Take note that messages were taken, the oldest of them published at `oldest`."""
        self._recent.append((now, oldest))

    def oldest_unread(self, now: float, idle: bool) -> float | None:
        """Return the estimate; None if there is no telling. `idle`: pulls wait, and nothing comes."""
        while self._recent and self._recent[0][0] < now - _SAMPLE_SECONDS:
            self._recent.popleft()
        if self._recent:
            return min(oldest for _, oldest in self._recent)
        return now - _SAMPLE_SECONDS if idle else None


@dataclass(slots=True)
class Outage:
    """Something fails for a while: says so once, and when to try again. Times are monotonic seconds."""

    what: str
    _since: float | None = None
    _pause: float = 0.0
    _next: float = 0.0

    @property
    def lasts(self) -> bool:
        """The last attempt failed."""
        return self._since is not None

    def may_try(self, now: float) -> bool:
        """Tell whether the pause after the last failure is over."""
        return now >= self._next

    def goes_on(self, now: float, reason: str) -> None:
        """Take note of a failure; those during a pause are of attempts that began before it."""
        if now < self._next:
            return
        if self._since is None:
            self._since = now
            _LOGGER.warning("cannot %s: %s; trying again until it works", self.what, reason)
        self._pause = min(self._pause * 2 or _FIRST_PAUSE, _LONGEST_PAUSE)
        self._next = now + random.uniform(0.5, 1) * self._pause

    def ends(self, now: float) -> None:
        """Take note of a success."""
        if self._since is not None:
            _LOGGER.warning("can %s again, after %.0f s", self.what, now - self._since)
            self._since, self._pause, self._next = None, 0.0, 0.0


class Subscriber:
    """Pulls ahead of what is taken, keeps the leases, acknowledges what is settled. Safe for threads.

    Pulls wait while nobody takes. Whatever fails is tried again: what cannot be acknowledged is delivered again,
    and subtracted by the log. Leases are extended for `longest` seconds; then nobody is left who would settle them.
    """

    def __init__(self, subscription: str, longest: float = float("inf"), clock: Clock = system_clock) -> None:
        """Connect; `subscription` is `projects/P/subscriptions/S`."""
        from google.cloud.pubsub_v1 import types

        self._subscription = subscription
        self._longest = longest
        self._clock = clock
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
        self._ready: list[Pulled] = []
        self._leases: dict[Lease, None] = {}
        self._messages = self._bytes = 0
        self._acks: list[str] = []
        self._times = PublishTimes()
        self._unpulled = Outage(f"pull from {subscription}")
        self._unacknowledged = Outage(f"acknowledge messages of {subscription}")
        self._closing = threading.Event()
        self._keeper = threading.Thread(target=self._write_dead_letters, name="sluice-pubsub", daemon=True)
        self._keeper.start()

    def take(self, seconds: float) -> list[Pulled]:
        """Return what was pulled and not taken yet; wait at most `seconds` for the first of it."""
        with self._changed:
            self._pull_more()
            if self._changed.wait_for(lambda: self._ready, seconds):
                self._changed.wait_for(self._enough, _GATHER_SECONDS)
            taken, self._ready = self._ready, []
            self._pull_more()
        return taken

    def settle(self, leases: Iterable[Lease]) -> None:
        """Have the messages of `leases` acknowledged soon: they are stored."""
        with self._changed:
            for lease in leases:
                if self._let_go(lease):
                    self._acks += lease.ack_ids

    def outstanding(self) -> int:
        """Return how many messages are not acknowledged yet."""
        with self._changed:
            return self._messages + len(self._acks)

    def is_full(self) -> bool:
        """Tell whether so much is leased that no more should be pulled."""
        return self._messages >= MAX_OUTSTANDING_RECORDS or self._bytes >= MAX_OUTSTANDING_BYTES

    def oldest_unread(self, taken: float | None) -> float | None:
        """Return, in epoch seconds, what a watermark may advance to; see `PublishTimes`.

        `taken` is when the oldest message was published that has just been taken, if any was.
        """
        with self._changed:
            now = self._clock()
            if taken is not None:
                self._times.taken(now, taken)
            waiting = min(self._inflight.values(), default=float("inf")) < time.monotonic() - _IDLE_SECONDS
            idle = waiting and not self._ready and not self._unpulled.lasts
            return self._times.oldest_unread(now, idle)

    def stop_pulling(self) -> None:
        """Begin no more pulls. Those in flight go on: the service might answer one that was cancelled, to nobody."""
        self._pulling = False

    def close(self) -> None:
        """Acknowledge what is settled, give back the rest, so that it is delivered again, and disconnect."""
        self.stop_pulling()
        self._closing.set()
        self._keeper.join()
        wait_until(self._send_all_acks, _CLOSE_SECONDS, _FIRST_PAUSE)
        with self._changed:
            inflight = list(self._inflight)
        for call in inflight:
            call.cancel()
        with self._changed:
            left = [each for lease in self._leases for each in lease.ack_ids]
            self._forget()
        self._extend(left, 0)
        self._client.close()

    def _enough(self) -> bool:
        messages = sum(len(pulled.messages) for pulled in self._ready)
        return (
            messages >= _ENOUGH_MESSAGES or sum(pulled.lease.size for pulled in self._ready) >= _ENOUGH_BYTES
        )

    def _pull_more(self) -> None:
        """Have as many pulls in flight as there should be; one alone finds out whether an outage is over."""
        if not self._pulling or self._enough():
            return
        while self._unpulled.may_try(time.monotonic()) and len(self._inflight) < self._wanted():
            call = self._pull(self._pull_request, timeout=_PULL_SECONDS)
            self._inflight[call] = time.monotonic()
            call.add_done_callback(self._pulled)

    def _wanted(self) -> int:
        return 1 if self._unpulled.lasts else _PULLS

    def _pulled(self, call: Any) -> None:
        """Take in the answer of a pull; called in a thread of gRPC."""
        now = time.monotonic()
        with self._changed:
            del self._inflight[call]
            if call.cancelled():
                return
            status = call.code().name
            if status == "OK":
                self._unpulled.ends(now)
                self._take_in(call.result(), now)
            elif status == "DEADLINE_EXCEEDED":  # it waited in vain
                self._unpulled.ends(now)
            else:
                self._unpulled.goes_on(now, call.details())
                if status == "NOT_FOUND":
                    self._forget()

    def _take_in(self, response: Any, now: float) -> None:
        messages = response.received_messages
        if not messages:
            return
        lease = Lease([each.ack_id for each in messages], response.ByteSize(), now, now + _FIRST_LEASE)
        self._leases[lease] = None
        self._messages += len(messages)
        self._bytes += lease.size
        self._ready.append(Pulled(messages, lease))
        self._pull_more()
        self._changed.notify_all()

    def _let_go(self, lease: Lease) -> bool:
        """Return False if it is none of ours any more."""
        if lease not in self._leases:
            return False
        del self._leases[lease]
        self._messages -= len(lease.ack_ids)
        self._bytes -= lease.size
        return True

    def _forget(self) -> None:
        """Forget all ids: a subscription that was made anew would take them for those of its own messages."""
        self._leases.clear()
        self._messages = self._bytes = 0
        self._acks.clear()

    def _write_dead_letters(self) -> None:
        """Acknowledge and extend, in a thread of its own, until the end."""
        while not self._closing.wait(_TICK):
            self._send_acks()
            self._renew(time.monotonic())

    def _send_acks(self) -> None:
        with self._changed:
            if not self._unacknowledged.may_try(time.monotonic()):
                return
            ack_ids, self._acks = self._acks, []
        left = self._send(self._acknowledge, self._ack_request, ack_ids)
        with self._changed:
            self._acks += left

    def _send_all_acks(self) -> bool:
        self._send_acks()
        return not self._acks

    def _renew(self, now: float) -> None:
        with self._changed:
            for lease in [each for each in self._leases if now - each.since > self._longest]:
                self._let_go(lease)
            due = [lease for lease in self._leases if lease.expires < now + _MARGIN]
        left = set(self._extend([each for lease in due for each in lease.ack_ids], _LEASE))
        for lease in due:
            if left.isdisjoint(lease.ack_ids):
                lease.expires = now + _LEASE

    def _extend(self, ack_ids: list[str], seconds: int) -> list[str]:
        request = partial(self._modify_request, ack_deadline_seconds=seconds)
        return self._send(self._modify, request, ack_ids)

    def _send(self, send: Callable[..., Any], request: Callable[..., Any], ack_ids: list[str]) -> list[str]:
        """Send a request for each part of the ids, all at once; return the ids that are to be sent again."""
        calls = [
            (part, send(request(subscription=self._subscription, ack_ids=part), timeout=_CALL_SECONDS))
            for part in in_requests(ack_ids)
        ]
        left = []
        for part, call in calls:
            if call.exception() is None:
                self._unacknowledged.ends(time.monotonic())
                continue
            left += left_over(part, call.code().name, refusals_of(call))
            if left:
                self._unacknowledged.goes_on(time.monotonic(), call.details())
        return left


def open_subscriber(subscription: str, longest: float | None, run: RunState) -> Subscriber:
    """Return the one subscriber of `subscription` that a run has in this process; it is closed with the run.

    With None for `longest`, leases end with the run.
    """
    return run.resources.get(subscription, lambda: Subscriber(subscription, longest or float("inf")))
