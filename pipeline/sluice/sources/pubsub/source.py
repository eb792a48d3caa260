"""Google Pub/Sub as a source: `pubsub://projects/P/subscriptions/S`, or `pubsub://projects/P/topics/T`.

A topic is read through a subscription of the job's own, `sluice-T` unless `?subscription=NAME` says otherwise,
which is made if there is none. Dataflow reads with Beam's native source; other runners with a splittable DoFn
that acknowledges messages only after they are stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.io.watermark_estimators import ManualWatermarkEstimator
from apache_beam.transforms.window import GlobalWindow, TimestampedValue
from apache_beam.utils.timestamp import Duration
from apache_beam.utils.windowed_value import WindowedValue

from sluice.clock import system_clock
from sluice.elements import RecordBatch, attributes_footprint
from sluice.provenance import ORDERING_KEY, MessageProvenance
from sluice.run_state import RunHandle
from sluice.sources.pubsub.client import Address, check_subscription, pull_some
from sluice.sources.pubsub.subscriber import Lease, PullResponse, open_subscriber
from sluice.sources.streaming import (
    TRACKER,
    WATERMARK,
    EndlessRestrictions,
    StreamingSource,
    acknowledges_in_process,
    advance,
    find_arrivals,
    finish,
    watermark_of,
)

DELIVERY_ATTEMPT = "deliveryAttempt"
"""Attribute that records get where the subscription has a dead-letter policy: how often the message was delivered."""

_TAKE_SECONDS = 1.0
"""How long a bundle waits for messages; the watermark of an idle source moves as often."""

_PAUSE = Duration(seconds=0.2)
"""Pause of a source that has to wait until something is stored."""

_READERS = 4
"""Restrictions on a cluster, so that several workers pull. On Prism, which puts all that waits into one bundle,
one restriction with several pulls in flight does as well."""

_MAX_LEASE = 600.0
"""Seconds for which the leases of a bundle are extended; then Pub/Sub delivers its messages again."""

_BATCH_MESSAGES = 1000
_BATCH_BYTES = 1 << 20
"""What the native source puts into one batch at the most; a bundle often holds less."""


class PubSubSource(StreamingSource):
    """A subscription -> RecordBatches, each record with its message id, publish time and attributes.

    Messages are acknowledged once they are stored; see `docs/how-to/pubsub.md`. The timestamp of a batch is the
    publish time of its oldest message. The watermark follows publish times.
    """

    def __init__(self, address: Address) -> None:
        """Read the subscription at `address`."""
        super().__init__()
        self._address = address

    def check(self) -> None:
        """Find the subscription, or create it for a topic; raise SourceError if that fails."""
        check_subscription(self._address)

    def sample(self, number: int) -> Iterator[RecordBatch]:
        """Yield at most `number` messages that wait in the subscription; they are delivered again, and at once."""
        self.check()
        for received in pull_some(self._address, number):
            messages = _messages([PullResponse(received, Lease([], 0, 0.0, 0.0))])
            yield to_batch(self._address.uri, messages, system_clock())

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[RecordBatch]:
        """Read in the way that suits the runner."""
        uri, subscription = self._address.uri, self._address.subscription
        if type(begin.pipeline.runner).__name__ == "DataflowRunner":
            return begin | "Read messages" >> NativeRead(uri, subscription)
        in_process = acknowledges_in_process(begin.pipeline.options)
        pull = AckTokenPull if in_process else BundleFinalizerPull
        return (
            begin
            | "Name readers" >> beam.Create(range(1 if in_process else _READERS))
            | "Spread readers" >> beam.Reshuffle()
            | "Pull messages"
            >> beam.ParDo(pull(uri, subscription, self.handle)).with_output_types(RecordBatch)
        )


class _Pull(beam.DoFn, EndlessRestrictions):
    """Number of a reader -> RecordBatches for ever; its restriction counts bundles. All readers share a connection."""

    max_lease: float | None = None

    def __init__(self, uri: str, subscription: str, handle: RunHandle) -> None:
        """`handle` finds the state of the run; nothing is connected here."""
        self._uri = uri
        self._subscription = subscription
        self._handle = handle

    def setup(self) -> None:
        """Connect."""
        self._subscriber = open_subscriber(self._subscription, self.max_lease, self._handle.state)

    def _read(
        self, tracker: Any, watermark: ManualWatermarkEstimator
    ) -> Iterator[tuple[RecordBatch, list[Lease]]]:
        """Yield the messages pulled since the last bundle as one batch, and defer the rest of the restriction.

        Raises:
            SourceError: the subscription is of another topic now.

        """
        if self._subscriber.identity.problem is not None:
            raise self._subscriber.identity.problem
        if self._handle.state.acks.is_full() or self._subscriber.is_full():
            tracker.defer_remainder(_PAUSE)
            return
        if not tracker.try_claim(tracker.current_restriction().start):
            return
        pulled = self._subscriber.take(_TAKE_SECONDS)
        taken = None
        if pulled:
            batch = to_batch(self._uri, _messages(pulled), system_clock(), watermark_of(watermark))
            yield batch, [response.lease for response in pulled]
            taken = batch.arrival
        oldest = self._subscriber.oldest_unread(taken)
        if oldest is not None:
            advance(watermark, oldest)
        tracker.defer_remainder()


class AckTokenPull(_Pull):
    """Number of a reader -> RecordBatches with ack tokens; a batch is acknowledged once it is stored."""

    @beam.DoFn.unbounded_per_element()  # type: ignore[untyped-decorator]
    def process(
        self, _reader: int, tracker: Any = TRACKER, watermark: Any = WATERMARK
    ) -> Iterator[TimestampedValue]:
        """Pull the messages that have arrived; end when the run drains."""
        with self._handle.state.activity.at_work():
            yield from self._pull(tracker, watermark)

    def _pull(self, tracker: Any, watermark: Any) -> Iterator[TimestampedValue]:
        if self._handle.state.draining.is_set():
            self._subscriber.stop_pulling()
            finish(tracker)
            return
        if self._subscriber.identity.problem is not None:
            self._handle.state.fail(self._subscriber.identity.problem)  # what was read is stored first
            tracker.defer_remainder()
            return
        for batch, leases in self._read(tracker, watermark):
            on_stored = partial(self._subscriber.complete, leases)
            ack_token = self._handle.state.acks.issue(len(batch.records), batch.footprint, on_stored)
            yield TimestampedValue(replace(batch, ack_token=ack_token), batch.arrival)


class BundleFinalizerPull(_Pull):
    """Number of a reader -> RecordBatches; a batch is acknowledged once the runner has finalized its bundle."""

    max_lease = _MAX_LEASE

    @beam.DoFn.unbounded_per_element()  # type: ignore[untyped-decorator]
    def process(
        self,
        _reader: int,
        finalizer: Any = beam.DoFn.BundleFinalizerParam,
        tracker: Any = TRACKER,
        watermark: Any = WATERMARK,
    ) -> Iterator[TimestampedValue]:
        """Pull the messages that have arrived."""
        for batch, leases in self._read(tracker, watermark):
            finalizer.register(partial(self._subscriber.complete, leases))
            yield TimestampedValue(batch, batch.arrival)


class NativeRead(beam.PTransform):
    """PBegin -> RecordBatches of a bundle, read with Beam's own source, which acknowledges what the runner persists."""

    def __init__(self, uri: str, subscription: str) -> None:
        """`subscription` is a full name."""
        super().__init__()
        self._uri = uri
        self._subscription = subscription

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[RecordBatch]:
        """Read messages with their attributes, and batch them."""
        from apache_beam.io.gcp.pubsub import ReadFromPubSub

        return (
            begin
            | "Read natively" >> ReadFromPubSub(subscription=self._subscription, with_attributes=True)
            | "Batch" >> beam.ParDo(MessageBatching(self._uri)).with_output_types(RecordBatch)
        )


class MessageBatching(beam.DoFn):
    """Beam's PubsubMessages of a bundle -> RecordBatches, at the publish time of their oldest message."""

    def __init__(self, uri: str) -> None:
        """`uri` is the source that the records name."""
        self._uri = uri

    def start_bundle(self) -> None:
        """Begin with an empty batch."""
        self._batch: list[Message] = []
        self._bytes = 0

    def process(self, message: Any) -> Iterator[TimestampedValue]:
        """Add a message to the batch, and emit the batch if it is full."""
        self._batch.append(
            Message(
                message.data or b"",
                message.message_id,
                _published(message.publish_time),
                _attributes(message.attributes or {}, message.ordering_key, 0),
            )
        )
        self._bytes += len(self._batch[-1].data) + attributes_footprint(self._batch[-1].attributes)
        if len(self._batch) >= _BATCH_MESSAGES or self._bytes >= _BATCH_BYTES:
            batch = to_batch(self._uri, self._batch, system_clock())
            self.start_bundle()
            yield TimestampedValue(batch, batch.arrival)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Emit the last batch of the bundle."""
        if self._batch:
            batch = to_batch(self._uri, self._batch, system_clock())
            yield WindowedValue(batch, batch.arrival, (GlobalWindow(),))


class Message(NamedTuple):
    """The parts of a message that are stored; `published` in epoch seconds."""

    data: bytes
    message_id: str
    published: float
    attributes: Mapping[str, str]


def to_batch(
    uri: str, messages: Iterable[Message], now: float, watermark: float = float("-inf")
) -> RecordBatch:
    """Return messages as a batch, in the order in which they were published; at least one.

    The position of the batch is its first publish time, in microseconds, so that batches can be put in order. A message
    without a publish time that can be stored has arrived `now`, in epoch seconds.
    """
    ordered = sorted(messages, key=lambda message: message.published)
    arrivals = find_arrivals([message.published for message in ordered], watermark, now)
    provenance = MessageProvenance(
        uri,
        min(arrivals.times),
        message_ids=[message.message_id for message in ordered],
        arrivals=arrivals.times,
        attributes=[message.attributes for message in ordered],
        position=int(ordered[0].published * 1e6),
        untimed=arrivals.unknown,
    )
    return RecordBatch([message.data for message in ordered], provenance)


def _messages(pulled: Sequence[PullResponse]) -> Iterator[Message]:
    for response in pulled:
        for received in response.messages:
            raw = received.message
            time = raw.publish_time
            attributes = _attributes(raw.attributes, raw.ordering_key, received.delivery_attempt)
            yield Message(raw.data, raw.message_id, time.seconds + time.nanos / 1e9, attributes)


def _published(time: Any) -> float:
    """Return a publish time in epoch seconds, or -1.0, which `find_arrivals` takes for none.

    Beam has no time for a message without one. An error would deliver the message again, with the same error, for ever.
    """
    return -1.0 if time is None else float(time.timestamp())


def _attributes(given: Mapping[str, str], ordering_key: str, attempt: int) -> Mapping[str, str]:
    """Return attributes, ordering key and delivery attempt of a message; the publisher's attributes have priority."""
    attributes = {key: given[key] for key in given}  # twice as fast on protobuf as dict()
    if ordering_key:
        attributes.setdefault(ORDERING_KEY, ordering_key)
    if attempt:
        attributes.setdefault(DELIVERY_ATTEMPT, str(attempt))
    return attributes
