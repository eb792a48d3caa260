"""The Pub/Sub source against Google's emulator: on Prism, as streaming jobs run, and natively, as Dataflow reads."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineState
from google.api_core.exceptions import InvalidArgument
from sluice import acknowledgements
from sluice.elements import RecordBatch
from sluice.errors import SourceError
from sluice.run_state import RunState
from sluice.sources import Sampled, Source, open_source
from sluice.sources.pubsub.source import BundleFinalizerPull, NativeRead
from sluice.sources.pubsub.subscriber import open_subscriber
from sluice.sources.streaming import StreamingSource

from devservers import prism, pubsub
from devservers.ports import free_port
from devservers.pubsub import PubSubEmulator, PubSubTopic
from devservers.waiting import wait_until
from tests.origins import message_ids_of

ROOT = Path(__file__).parents[2]
_NAMES = (f"topic-{number}" for number in count(1))

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def emulator() -> Iterator[PubSubEmulator]:
    with pubsub.start() as server:
        yield server


@pytest.fixture
def topic(emulator: PubSubEmulator, monkeypatch: pytest.MonkeyPatch) -> PubSubTopic:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", emulator.host)
    return emulator.create(next(_NAMES), ack_deadline_seconds=10)


class Reading:
    """The batches of a source on Prism, whose workers are threads of this process."""

    def __init__(self, completing: bool, run: RunState) -> None:
        self.completing = completing
        self.run = run
        self.batches: list[RecordBatch] = []
        self._incomplete: list[RecordBatch] = []
        self._lock = threading.Lock()

    def take(self, batch: RecordBatch) -> None:
        with self._lock:
            self.batches.append(batch)
            self._incomplete.append(batch)
        if self.completing:
            self.complete()

    def complete(self) -> None:
        """Do as the last steps of the graph do when records are stored."""
        with self._lock:
            batches, self._incomplete = self._incomplete, []
        for batch in batches:
            self.run.acks.complete(batch.acks(len(batch.records)))

    @property
    def records(self) -> list[bytes]:
        return [record for batch in self.batches for record in batch.records]

    @property
    def ids(self) -> list[str]:
        return [message_id for batch in self.batches for message_id in message_ids_of(batch)]


_READING: list[Reading] = []


def _take(batch: RecordBatch) -> None:
    _READING[-1].take(batch)


@contextmanager
def reading(
    source: beam.PTransform | Source, completing: bool = True, draining: bool = True
) -> Iterator[Reading]:
    """Read in the background; drain, or cancel, and close when the block ends."""
    assert isinstance(source, StreamingSource)
    run = source.handle.state
    with prism.start() as runner:
        _READING.append(Reading(completing, run))
        pipeline = beam.Pipeline(options=PipelineOptions(runner.options, streaming=True))
        _ = pipeline | "Read" >> source | "Take" >> beam.Map(_take)
        result: Any = pipeline.run()
        try:
            yield _READING[-1]
            if draining:
                run.draining.set()
                result.wait_until_finish()
            else:
                result.cancel()
                wait_until(lambda: result.state == PipelineState.CANCELLED, "the job is cancelled")
                run.draining.set()  # Prism does not end a bundle: what still pulls in this process ends so
        finally:
            run.resources.close()
            _READING.pop()


def test_messages_are_read_once_with_attributes_and_publish_time(topic: PubSubTopic) -> None:
    before = time.time()
    plain = topic.publish((b"%d" % n for n in range(3000)), source="web", region="eu")
    keyed = topic.publish([b"first", b"second"], ordering_key="user-7")
    source = open_source(topic.source)
    source.check()
    with reading(source) as read:
        wait_until(lambda: len(read.ids) >= 3002, "3002 messages are read")
    assert Counter(read.ids) == Counter(plain + keyed)
    assert topic.pull() == []
    origins = {
        batch.records[index]: batch.origin(index)
        for batch in read.batches
        for index in range(len(batch.records))
    }
    assert origins.keys() == {b"%d" % n for n in range(3000)} | {b"first", b"second"}
    web, first = origins[b"2999"], origins[b"first"]
    assert (web.uri, web.partition, web.offset, web.line) == (topic.source, None, None, None)
    assert web.message_id == plain[2999]
    assert web.attributes == {"source": "web", "region": "eu"}
    assert first.attributes == {"orderingKey": "user-7"}
    assert before - 1 < web.arrival < time.time()


def test_some_messages_are_looked_at_and_delivered_again(topic: PubSubTopic) -> None:
    topic.publish([b"1", b"2", b"3"])
    source = open_source(topic.source)
    assert isinstance(source, Sampled)
    for _ in range(2):
        seen = [record for batch in source.sample(3) for record in batch.records]
        assert sorted(seen) == [b"1", b"2", b"3"]
    assert len([record for batch in source.sample(2) for record in batch.records]) == 2


def test_only_stored_messages_are_acknowledged(topic: PubSubTopic) -> None:
    stored = topic.publish(b"%d" % n for n in range(500))
    with reading(open_source(topic.source), completing=False) as read:
        wait_until(lambda: len(read.ids) >= 500, "500 messages are read")
        read.complete()
        lost = topic.publish(b"%d" % n for n in range(500, 700))
        wait_until(lambda: len(read.ids) >= 700, "700 messages are read")
    assert Counter(read.ids) == Counter(stored + lost)
    with reading(open_source(topic.source)) as again:
        wait_until(lambda: len(again.ids) >= 200, "200 messages are read again")
    assert Counter(again.ids) == Counter(lost)
    assert topic.pull() == []


@pytest.mark.long
def test_leases_are_extended_until_messages_are_stored(topic: PubSubTopic) -> None:
    ids = topic.publish(b"%d" % n for n in range(2600))
    with reading(open_source(topic.source), completing=False) as read:
        wait_until(lambda: len(read.ids) >= 2600, "2600 messages are read")
        pulled = time.monotonic()
        wait_until(lambda: time.monotonic() > pulled + 21, "twice the deadline of the subscription is over")
        assert topic.pull() == []
        read.complete()
    assert Counter(read.ids) == Counter(ids)
    assert topic.pull() == []


def test_topic_is_read_through_its_own_subscription(
    emulator: PubSubEmulator, topic: PubSubTopic, caplog: pytest.LogCaptureFixture
) -> None:
    source = open_source(f"pubsub://{topic.path}")
    source.check()
    source.check()  # it is there now
    ids = topic.publish([b"a", b"b"])
    with reading(source) as read:
        wait_until(lambda: len(read.ids) >= 2, "2 messages are read")
    assert Counter(read.ids) == Counter(ids)
    assert {batch.provenance.uri for batch in read.batches} == {f"pubsub://{topic.path}"}
    assert len(topic.pull()) == 2  # another subscription


def test_source_pauses_while_too_many_messages_are_unstored(
    topic: PubSubTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acknowledgements, "MAX_OUTSTANDING_RECORDS", 2000)
    monkeypatch.setattr("sluice.sources.pubsub.subscriber._BATCH_MESSAGES", 500)
    ids = topic.publish(b"%d" % n for n in range(12_000))
    with reading(open_source(topic.source), completing=False) as read:
        wait_until(
            lambda: read.run.acks.outstanding().records >= 2000,
            "2000 messages wait for their acknowledgement",
        )
        full = read.run.acks.outstanding().records
        begun = time.monotonic()
        wait_until(lambda: time.monotonic() > begun + 2, "two seconds are over")
        assert read.run.acks.outstanding().records == full < 8000
        read.completing = True
        read.complete()
        wait_until(lambda: len(read.ids) >= 12_000, "12000 messages are read")
    assert Counter(read.ids) == Counter(ids)
    assert topic.pull() == []


def test_message_of_ten_megabytes_is_read_from_pubsub(topic: PubSubTopic) -> None:
    record = b'{"x":"' + b"y" * 9_999_000 + b'"}'
    topic.publish([record])
    with reading(open_source(topic.source)) as read:
        wait_until(lambda: read.records, "a message is read")
    assert read.records == [record]
    assert topic.pull() == []


def test_ordered_messages_are_read_in_order(emulator: PubSubEmulator, topic: PubSubTopic) -> None:
    ordered = emulator.create(f"{topic.name}-ordered", enable_message_ordering=True)
    for n in range(20):
        ordered.publish([b"%d" % n], ordering_key="k")
    with reading(open_source(ordered.source)) as read:
        wait_until(lambda: len(read.records) >= 20, "20 messages are read")
    assert read.records == [b"%d" % n for n in range(20)]
    assert ordered.pull() == []


def test_delivery_attempts_are_read_with_a_dead_letter_policy(
    emulator: PubSubEmulator, topic: PubSubTopic
) -> None:
    policy = {"dead_letter_topic": topic.path, "max_delivery_attempts": 5}
    counted = emulator.create(f"{topic.name}-counted", dead_letter_policy=policy)
    counted.publish([b"again"])
    assert len(counted.pull()) == 1
    with reading(open_source(counted.source)) as read:
        wait_until(lambda: read.batches, "a batch is read")
    assert read.batches[0].origin(0).attributes == {"deliveryAttempt": "2"}


def test_exactly_once_subscription_is_read(emulator: PubSubEmulator, topic: PubSubTopic) -> None:
    exact = emulator.create(f"{topic.name}-exact", enable_exactly_once_delivery=True)
    ids = exact.publish(b"%d" % n for n in range(1000))
    with reading(open_source(exact.source)) as read:
        wait_until(lambda: len(read.ids) >= 1000, "1000 messages are read")
    assert Counter(read.ids) == Counter(ids)
    assert exact.pull() == []


@pytest.mark.long
def test_recreated_subscription_is_read_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with pubsub.start() as server:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", server.host)
        topic = server.create("restarted")
        topic.publish([b"before"])
        with caplog.at_level(logging.WARNING, "sluice"), reading(open_source(topic.source)) as read:
            wait_until(lambda: read.records == [b"before"], "the first message is read")
            server.kill()
            wait_until(lambda: "cannot pull" in caplog.text, "the outage is logged")
            server.start()
            gone = time.monotonic()
            wait_until(lambda: time.monotonic() > gone + 3, "three seconds without the subscription are over")
            server.create("restarted").publish([b"after"])
            wait_until(lambda: read.records == [b"before", b"after"], "both messages are read")
        assert topic.pull() == []
    said = [record.getMessage() for record in caplog.records if "pull" in record.getMessage()]
    assert len(said) == 2
    assert said[0].startswith(f"cannot pull from {topic.subscription}: ")
    assert said[0].endswith("; trying again until it works")
    assert said[1].startswith(f"can pull from {topic.subscription} again, after ")


def test_finalized_bundles_are_acknowledged(topic: PubSubTopic) -> None:
    """As on runners that persist committed bundles; their steps complete no acks."""
    ids = topic.publish(b"%d" % n for n in range(3000))
    with reading(Finalizing(topic.source, topic.subscription), draining=False) as read:
        subscriber = open_subscriber(topic.subscription, None, read.run)
        wait_until(
            lambda: len(read.ids) >= 3000 and not subscriber.outstanding(),
            "3000 messages are read and acknowledged",
        )
    assert {batch.ack_token for batch in read.batches} == {None}
    assert Counter(read.ids) == Counter(ids)
    assert topic.pull() == []


class Finalizing(StreamingSource):
    def __init__(self, uri: str, subscription: str) -> None:
        super().__init__()
        self._arguments = (uri, subscription)

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[RecordBatch]:
        return begin | beam.Create([0]) | beam.ParDo(BundleFinalizerPull(*self._arguments, self.handle))


@pytest.mark.long
def test_native_source_reads_the_same_records(topic: PubSubTopic) -> None:
    plain = topic.publish((b"%d" % n for n in range(30)), source="web")
    keyed = topic.publish([b"first"], ordering_key="user-7")
    _READING.append(Reading(completing=True, run=RunState()))
    options = PipelineOptions(["--runner=BundleBasedDirectRunner"], streaming=True)
    pipeline = beam.Pipeline(options=options)
    _ = pipeline | "Read" >> NativeRead(topic.source, topic.subscription) | "Take" >> beam.Map(_take)
    result: Any = pipeline.run()
    read = _READING[-1]
    wait_until(lambda: len(read.ids) >= 31, "31 messages are read")
    result.cancel()
    _READING.pop()
    origins = {
        batch.records[index]: batch.origin(index)
        for batch in read.batches
        for index in range(len(batch.records))
    }
    assert Counter(read.ids) == Counter(plain + keyed)
    assert origins[b"29"].message_id == plain[29]
    assert origins[b"29"].attributes == {"source": "web"}
    assert origins[b"first"].attributes == {"orderingKey": "user-7"}
    assert abs(origins[b"29"].arrival - time.time()) < 120
    assert max(len(batch.records) for batch in read.batches) > 1


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        (
            "subscriptions/none",
            "there is no such subscription; to make it: "
            "gcloud pubsub subscriptions create none --topic TOPIC --project sluice",
        ),
        (
            "topics/none",
            "there is no such topic; to make it: gcloud pubsub topics create none --project sluice",
        ),
    ],
)
def test_missing_topic_or_subscription_fails_the_check(topic: PubSubTopic, path: str, problem: str) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(f"pubsub://projects/sluice/{path}").check()
    assert str(caught.value) == f"pubsub://projects/sluice/{path}: {problem}"


def test_subscription_of_another_topic_is_rejected(emulator: PubSubEmulator, topic: PubSubTopic) -> None:
    other = emulator.create(f"{topic.name}-other")
    with pytest.raises(SourceError) as caught:
        open_source(f"pubsub://{topic.path}?subscription={other.name}").check()
    assert str(caught.value) == (
        f"pubsub://{topic.path}: {other.subscription} is of {other.path}; "
        "choose another name with ?subscription=NAME"
    )


def test_push_subscription_is_rejected(emulator: PubSubEmulator, topic: PubSubTopic) -> None:
    pushing = emulator.create(f"{topic.name}-push", push_config={"push_endpoint": "https://example.com/push"})
    with pytest.raises(SourceError) as caught:
        open_source(pushing.source).check()
    assert str(caught.value) == (
        f"{pushing.source}: {pushing.subscription} pushes its messages; expected one that is pulled from"
    )


def test_schemas_of_generated_avro_take_no_event_that_jobs_read(emulator: PubSubEmulator) -> None:
    """So Terraform makes none for their topics; the timestamp alone keeps those of `inventory` out."""
    with emulator.client("SchemaService") as service:

        def validate(avro: Path, event: Any) -> None:
            schema = {"type_": "AVRO", "definition": avro.read_text("utf-8")}
            message = {"schema": schema, "message": json.dumps(event).encode(), "encoding": "JSON"}
            service.validate_message(request={"parent": "projects/sluice", **message})

        for avro in sorted((ROOT / "schemas").glob("*/avro/*.avsc")):
            examples = avro.parents[1] / f"examples/{avro.stem}.accepts.ndjson"
            for line in examples.read_text("utf-8").splitlines():
                with pytest.raises(InvalidArgument, match="Could not parse JSON Avro message"):
                    validate(avro, json.loads(line))
        inventory = ROOT / "schemas/backend_events/examples/inventory.accepts.ndjson"
        event = json.loads(inventory.read_text("utf-8").splitlines()[0])
        validate(
            ROOT / "schemas/backend_events/avro/inventory.avsc", {**event, "timestamp": 1739020140250000}
        )


def test_error_names_the_emulator_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    host = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", host)
    with pytest.raises(SourceError) as caught:
        open_source("pubsub://projects/sluice/subscriptions/any").check()
    start = f"pubsub://projects/sluice/subscriptions/any: cannot reach the emulator at PUBSUB_EMULATOR_HOST={host}: "
    assert str(caught.value).startswith(start)
