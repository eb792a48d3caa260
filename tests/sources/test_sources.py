"""What all sources have in common."""

from __future__ import annotations

import pytest
from sluice.sources import SOURCES, parse_source

ADDRESSES = {
    "dead-letters": "dead-letters://out/dead_letters",
    "file": "history/*.json",
    "gs": "gs://bucket/history/*.json",
    "http": "http://api.example.com/items",
    "https": "https://api.example.com/items",
    "kafka": "kafka://127.0.0.1:9092/clicks?group=clicks",
    "mongodb": "mongodb://127.0.0.1:27017/shop.products",
    "mongodb+srv": "mongodb+srv://cluster.example.com/shop.products",
    "pubsub": "pubsub://projects/shop/subscriptions/clicks",
    "s3": "s3://bucket/history/*.json",
}


@pytest.mark.parametrize("scheme", SOURCES)
def test_connector_says_as_its_source_whether_it_has_an_end(scheme: str) -> None:
    connector = parse_source(ADDRESSES[scheme])
    assert isinstance(connector, SOURCES[scheme])
    assert connector.open().bounded == connector.bounded == (scheme not in ("kafka", "pubsub"))
