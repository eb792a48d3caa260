"""The Pub/Sub source without a server: its batches, their dead letters, and its DoFns."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from apache_beam.internal import pickler
from apache_beam.io.gcp.pubsub import PubsubMessage
from msgspec import structs
from sluice.dead_letters.envelope import make_dead_letter
from sluice.elements import Rejected, Violation
from sluice.provenance import Origin
from sluice.run_state import RunHandle
from sluice.sources import open_source
from sluice.sources.pubsub.source import AckTokenPull, BundleFinalizerPull, Message, MessageBatching, to_batch

from tests.origins import message_ids_of, origins_of

DAY = 86400.0
PUBLISHED = 1_739_020_000.25
NOW = PUBLISHED + 60


def test_source_is_unbounded_and_of_unknown_size() -> None:
    source = open_source("pubsub://projects/p/subscriptions/s")
    assert (source.bounded, source.size()) == (False, None)


def message(number: int, published: float = PUBLISHED, **attributes: str) -> Message:
    return Message(b"%d" % number, f"id-{number}", published, attributes)


def test_batch_is_in_the_order_of_publishing() -> None:
    batch = to_batch(
        "pubsub://u", [message(2, PUBLISHED + 1), message(1), message(3, PUBLISHED + 1, a="b")], NOW
    )
    assert batch.records == [b"1", b"2", b"3"]
    assert message_ids_of(batch) == ["id-1", "id-2", "id-3"]
    assert batch.arrival == PUBLISHED
    assert batch.provenance.arrivals == [PUBLISHED, PUBLISHED + 1, PUBLISHED + 1]
    assert [origin.attributes for origin in origins_of(batch)] == [{}, {}, {"a": "b"}]
    assert batch.provenance.position == 1_739_020_000_250_000


def test_arrival_is_at_most_a_month_before_the_watermark() -> None:
    old, ancient = message(1, PUBLISHED - 30 * DAY), message(2, PUBLISHED - 32 * DAY)
    batch = to_batch("pubsub://u", [old, ancient], NOW, watermark=PUBLISHED)
    assert batch.provenance.arrivals == [PUBLISHED - 31 * DAY, PUBLISHED - 30 * DAY]


@pytest.mark.parametrize("published", [-1.0, -62_135_596_800.0, 253_402_300_800.0, 1e18])
def test_message_without_a_storable_publish_time_has_arrived_now(published: float) -> None:
    batch = to_batch("pubsub://u", [message(1), message(2, published)], NOW)
    assert sorted(batch.provenance.arrivals) == [PUBLISHED, NOW]
    assert batch.arrival == PUBLISHED
    timed = {origin.message_id: (origin.timed, origin.arrival) for origin in origins_of(batch)}
    assert timed == {"id-1": (True, PUBLISHED), "id-2": (False, NOW)}


def test_message_that_beam_has_no_publish_time_of_is_read_natively() -> None:
    batching = MessageBatching("pubsub://u")
    batching.start_bundle()
    timed = datetime.fromtimestamp(PUBLISHED, UTC)
    for number, time in ((1, timed), (2, None)):
        assert (
            list(batching.process(PubsubMessage(b"%d" % number, {}, f"id-{number}", publish_time=time))) == []
        )
    (batch,) = (element.value for element in batching.finish_bundle())
    assert {origin.message_id: origin.timed for origin in origins_of(batch)} == {"id-1": True, "id-2": False}


def test_origin_of_a_message_has_its_id() -> None:
    batch = to_batch("pubsub://u", [message(1), message(2, a="b")], NOW)
    assert batch.origin(1) == Origin("pubsub://u", PUBLISHED, message_id="id-2", attributes={"a": "b"})


def test_redelivered_message_is_the_same_dead_letter() -> None:
    first = to_batch("pubsub://u", [message(1), message(2)], NOW)
    again = to_batch("pubsub://u", [message(2, deliveryAttempt="2")], NOW)
    dead_letters = [
        make_dead_letter(
            Rejected(
                batch.records[index], batch.origin(index), "decode", [Violation("not_json", "", "", "")]
            ),
            "job",
            rejected_at,
        )
        for batch, index, rejected_at in ((first, 1, PUBLISHED + 1), (again, 0, PUBLISHED + 99))
    ]
    assert dead_letters[0].letter_id == dead_letters[1].letter_id
    assert dead_letters[0].time == dead_letters[1].time
    other = make_dead_letter(
        Rejected(
            b"2",
            structs.replace(first.origin(1), message_id="id-3"),
            "decode",
            [Violation("not_json", "", "", "")],
        ),
        "job",
        PUBLISHED,
    )
    assert other.letter_id != dead_letters[0].letter_id


@pytest.mark.parametrize("kind", [AckTokenPull, BundleFinalizerPull])
def test_reader_can_be_pickled(kind: type[AckTokenPull | BundleFinalizerPull]) -> None:
    sent = pickler.loads(pickler.dumps(kind("pubsub://u", "projects/p/subscriptions/s", RunHandle())))
    assert type(sent).__name__ == kind.__name__
