"""Google Pub/Sub as a source: `pubsub://projects/P/subscriptions/S`, or `pubsub://projects/P/topics/T`.

A topic is read through a subscription of the job's own, `sluice-T` unless `?subscription=NAME` says otherwise,
which is made if there is none. Dataflow reads with Beam's native source; other runners with a splittable DoFn
that acknowledges nothing before it is stored.
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

from sluice.elements import RecordBatch
from sluice.provenance import MessageProvenance
from sluice.run_state import RunHandle
from sluice.sources.pubsub.client import Address, check_subscription
from sluice.sources.pubsub.subscriber import Lease, Pulled, open_subscriber
from sluice.sources.streaming import (
    TRACKER,
    WATERMARK,
    EndlessRestrictions,
    StreamingSource,
    acknowledges_in_process,
    advance,
    arrivals_above,
    finish,
    watermark_of,
)

ORDERING_KEY = "orderingKey"
DELIVERY_ATTEMPT = "deliveryAttempt"
"""Attributes that records get besides the publisher's own: the message's ordering key, and, where the subscription
has a dead-letter policy, how often it was delivered."""

_TAKE_SECONDS = 1.0
"""How long a bundle waits for messages; the watermark of an idle source moves as often."""

_PAUSE = Duration(seconds=0.2)
"""Pause of a source that has to wait until something is stored."""

_READERS = 4
"""Restrictions on a cluster, so that several workers pull. On Prism, which puts all that waits into one bundle,
one restriction with several pulls in flight does as well."""

_LONGEST_LEASE = 600.0
"""Seconds after which a bundle that was not finalized is given up: its messages are delivered again."""

_BATCH_MESSAGES = 1000
_BATCH_BYTES = 1 << 20
"""What the native source puts into one batch at the most; a bundle often holds less."""


class PubSubSource(StreamingSource):
    """A subscription -> RecordBatches, each record with its message id, publish time and attributes.

    Acknowledged once they are stored; see `docs/how-to/pubsub.md`. Batches come at the publish time of their oldest
    message. The watermark follows publish times.
    """

    def __init__(self, address: Address) -> None:
        """Read the subscription at `address`."""
        super().__init__()
        self._address = address

    def check(self) -> None:
        """Find the subscription, or make it for a topic; SourceError says what is missing."""
        check_subscription(self._address)

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[RecordBatch]:
        """Read as the runner can best."""
        uri, subscription = self._address.uri, self._address.subscription
        if type(begin.pipeline.runner).__name__ == "DataflowRunner":
            return begin | "Read messages" >> NativeRead(uri, subscription)
        in_process = acknowledges_in_process(begin.pipeline.options)
        pull = PullAndSettle if in_process else PullAndFinalize
        return (
            begin
            | "Name readers" >> beam.Create(range(1 if in_process else _READERS))
            | "Spread readers" >> beam.Reshuffle()
            | "Pull messages"
            >> beam.ParDo(pull(uri, subscription, self.handle)).with_output_types(RecordBatch)
        )


class _Pull(beam.DoFn, EndlessRestrictions):
    """Number of a reader -> RecordBatches for ever; its restriction counts bundles. All readers share a connection."""

    longest_lease: float | None = None

    def __init__(self, uri: str, subscription: str, handle: RunHandle) -> None:
        """Keep what the workers need; nothing is connected here. `handle` finds the state of the run."""
        self._uri = uri
        self._subscription = subscription
        self._handle = handle

    def setup(self) -> None:
        """Connect."""
        self._subscriber = open_subscriber(self._subscription, self.longest_lease, self._handle.state)

    def _read(
        self, tracker: Any, watermark: ManualWatermarkEstimator
    ) -> Iterator[tuple[RecordBatch, list[Lease]]]:
        """Yield what was pulled since the last bundle, as one batch, and ask to be called again."""
        if self._handle.state.acks.is_full() or self._subscriber.is_full():
            tracker.defer_remainder(_PAUSE)
            return
        if not tracker.try_claim(tracker.current_restriction().start):
            return
        pulled = self._subscriber.take(_TAKE_SECONDS)
        taken = None
        if pulled:
            batch = to_batch(self._uri, _messages(pulled), watermark_of(watermark))
            yield batch, [each.lease for each in pulled]
            taken = batch.arrival
        oldest = self._subscriber.oldest_unread(taken)
        if oldest is not None:
            advance(watermark, oldest)
        tracker.defer_remainder()


class PullAndSettle(_Pull):
    """RecordBatches with tickets; a batch is acknowledged once it is stored."""

    @beam.DoFn.unbounded_per_element()  # type: ignore[untyped-decorator]
    def process(
        self, _reader: int, tracker: Any = TRACKER, watermark: Any = WATERMARK
    ) -> Iterator[TimestampedValue]:
        """Pull what has come; end when the run drains."""
        if self._handle.state.draining.is_set():
            self._subscriber.stop_pulling()
            finish(tracker)
            return
        for batch, leases in self._read(tracker, watermark):
            settled = partial(self._subscriber.settle, leases)
            size = sum(lease.size for lease in leases)
            ack_token = self._handle.state.acks.issue(len(batch.records), size, settled)
            yield TimestampedValue(replace(batch, ack_token=ack_token), batch.arrival)


class PullAndFinalize(_Pull):
    """RecordBatches; a batch is acknowledged once the runner has taken its bundle over for good."""

    longest_lease = _LONGEST_LEASE

    @beam.DoFn.unbounded_per_element()  # type: ignore[untyped-decorator]
    def process(
        self,
        _reader: int,
        finalizer: Any = beam.DoFn.BundleFinalizerParam,
        tracker: Any = TRACKER,
        watermark: Any = WATERMARK,
    ) -> Iterator[TimestampedValue]:
        """Pull what has come."""
        for batch, leases in self._read(tracker, watermark):
            finalizer.register(partial(self._subscriber.settle, leases))
            yield TimestampedValue(batch, batch.arrival)


class NativeRead(beam.PTransform):
    """Beam's own source -> RecordBatches of what shares a bundle. Acknowledges itself: for runners that keep state."""

    def __init__(self, uri: str, subscription: str) -> None:
        """`subscription` is a full name."""
        super().__init__()
        self._uri = uri
        self._subscription = subscription

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[RecordBatch]:
        """Read messages with all that they carry, and put them together."""
        from apache_beam.io.gcp.pubsub import ReadFromPubSub

        return (
            begin
            | "Read natively" >> ReadFromPubSub(subscription=self._subscription, with_attributes=True)
            | "Batch" >> beam.ParDo(BatchMessages(self._uri)).with_output_types(RecordBatch)
        )


class BatchMessages(beam.DoFn):
    """Beam's PubsubMessages of a bundle -> RecordBatches, at the publish time of their oldest message."""

    def __init__(self, uri: str) -> None:
        """`uri` is what records say they come from."""
        self._uri = uri

    def start_bundle(self) -> None:
        """Begin with nothing held back."""
        self._held: list[Message] = []
        self._bytes = 0

    def process(self, message: Any) -> Iterator[TimestampedValue]:
        """Hold one message back, and let go of all if that is enough."""
        self._held.append(
            Message(
                message.data or b"",
                message.message_id,
                message.publish_time.timestamp(),
                _attributes(message.attributes or {}, message.ordering_key, 0),
            )
        )
        self._bytes += len(self._held[-1].data)
        if len(self._held) >= _BATCH_MESSAGES or self._bytes >= _BATCH_BYTES:
            batch = to_batch(self._uri, self._held)
            self.start_bundle()
            yield TimestampedValue(batch, batch.arrival)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Let go of what is held back."""
        if self._held:
            batch = to_batch(self._uri, self._held)
            yield WindowedValue(batch, batch.arrival, (GlobalWindow(),))


class Message(NamedTuple):
    """What is kept of a message; `published` in epoch seconds."""

    data: bytes
    message_id: str
    published: float
    attributes: Mapping[str, str]


def to_batch(uri: str, messages: Iterable[Message], watermark: float = float("-inf")) -> RecordBatch:
    """Return messages as a batch, in the order in which they were published; at least one.

    The position of the batch is when it was published, in microseconds, so that batches can be put in order.
    """
    ordered = sorted(messages, key=lambda message: message.published)
    arrivals = arrivals_above((message.published for message in ordered), watermark)
    provenance = MessageProvenance(
        uri,
        arrivals[0],
        message_ids=[message.message_id for message in ordered],
        arrivals=arrivals,
        attributes=[message.attributes for message in ordered],
        position=int(ordered[0].published * 1e6),
    )
    return RecordBatch([message.data for message in ordered], provenance)


def _messages(pulled: Sequence[Pulled]) -> Iterator[Message]:
    for each in pulled:
        for received in each.messages:
            raw = received.message
            time = raw.publish_time
            attributes = _attributes(raw.attributes, raw.ordering_key, received.delivery_attempt)
            yield Message(raw.data, raw.message_id, time.seconds + time.nanos / 1e9, attributes)


def _attributes(given: Mapping[str, str], ordering_key: str, attempt: int) -> Mapping[str, str]:
    """Return a message's attributes and what else is to be kept; a publisher's own attribute is never replaced."""
    attributes = {key: given[key] for key in given}  # twice as fast on protobuf as dict()
    if ordering_key:
        attributes.setdefault(ORDERING_KEY, ordering_key)
    if attempt:
        attributes.setdefault(DELIVERY_ATTEMPT, str(attempt))
    return attributes
