"""The MongoDB source against a server that speaks its wire protocol."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pymongo
import pytest
from bson import Code, Decimal128, Int64, MinKey, ObjectId, Regex, Timestamp
from bson.binary import Binary, UuidRepresentation
from sluice.config.urls import Url
from sluice.errors import ConfigError, SourceError
from sluice.sources import open_source
from sluice.sources.mongodb.source import Collection, read_collection, to_json

from devservers import mongodb
from devservers.ports import free_port
from tests.live.job_fixture import figures, rows, run_job
from tests.origins import message_ids_of

DAY = 1_736_467_200.0  # 2025-01-10T00:00:00Z


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mongodb.start(tmp_path_factory.mktemp("mongodb")) as server:
        yield server.address


@contextmanager
def database(server: str) -> Iterator[Any]:
    """Connect; a run must not start meanwhile, since it forks, and the driver has threads."""
    client: Any = pymongo.MongoClient(server, uuidRepresentation="standard")
    with client:
        yield client.shop


@pytest.fixture
def shop(server: str) -> Iterator[Any]:
    """An empty database."""
    with database(server) as shop:
        shop.client.drop_database("shop")
        yield shop


def read(server: str, collection: str = "products", most: int | None = None) -> list[Any]:
    return list(
        read_collection(Collection(Url(f"{server}/shop.{collection}"), "shop", collection, 86400), DAY, most)
    )


def test_bson_types_become_json(shop: Any, server: str) -> None:
    known = ObjectId("507f1f77bcf86cd799439011")
    at = datetime.datetime(2025, 1, 10, 10, 0, 0, 123000, tzinfo=datetime.UTC)
    shop.products.insert_one(
        {
            "_id": known,
            "price": Decimal128("19.90"),
            "power": Decimal128("1E+3"),
            "odd": Decimal128("NaN"),
            "at": at,
            "long": Int64(2**53 + 1),
            "share": 0.5,
            "uuid": UUID("00000003-0000-4000-8000-000000000003"),
            "blob": Binary(b"\xff\x00", 128),
            "bytes": b"\x01",
            "pattern": Regex("^a+$", "i"),
            "clock": Timestamp(at, 1),
            "share2": float("nan"),
            "code": Code("f()"),
            "least": MinKey(),
            "nested": {"ids": [known, None, True]},
        }
    )
    [batch] = read(server)
    assert batch.records == [
        b'{"_id":"507f1f77bcf86cd799439011","price":19.90,"power":1E+3,"odd":"NaN","at":"2025-01-10T10:00:00.123000Z"'
        b',"long":9007199254740993,"share":0.5,"uuid":"00000003-0000-4000-8000-000000000003","blob":"/wA="'
        b',"bytes":"AQ==","pattern":"^a+$","clock":"2025-01-10T10:00:00Z"'
        b',"share2":"NaN","code":{"$code":"f()"},"least":{"$minKey":1}'
        b',"nested":{"ids":["507f1f77bcf86cd799439011",null,true]}}'
    ]
    origin = batch.origin(0)
    assert (origin.uri, origin.message_id) == (f"{server}/shop.products", "507f1f77bcf86cd799439011")
    assert origin.arrival == DAY


def test_ids_of_mixed_types_are_read_in_one_order(shop: Any, server: str) -> None:
    shop.products.insert_many([{"_id": key} for key in ("b", 7, ObjectId("507f1f77bcf86cd799439011"), "a")])
    [batch] = read(server)
    assert message_ids_of(batch) == ["7", "a", "b", "507f1f77bcf86cd799439011"]


@pytest.mark.parametrize(("most", "ids"), [(None, "abc"), (4, "abc"), (2, "ab"), (0, "")])
def test_documents_with_the_least_ids_are_read_if_not_all_are(
    shop: Any, server: str, most: int | None, ids: str
) -> None:
    shop.products.insert_many([{"_id": key} for key in "cab"])
    assert [key for batch in read(server, most=most) for key in message_ids_of(batch)] == list(ids)


def test_malformed_document_is_read_unchanged() -> None:
    good = b"\x12\x00\x00\x00\x02a\x00\x02\x00\x00\x00b\x00\x00\x00"[:-1]
    good = len(good).to_bytes(4, "little") + good[4:]
    bad = good.replace(b"b\x00", b"\xff\x00")
    assert to_json(good + bad + good) == ([b'{"a":"b"}', bad, b'{"a":"b"}'], ["null", "", "null"])


def test_catalog_is_replayed_once_a_day(server: str, tmp_path: Path) -> None:
    products = [
        {
            "product_id": f"P{number}",
            "product_name": f"Product {number}",
            "category": "lamps",
            "price": Decimal128("19.90"),
            "updated_at": datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC),
        }
        for number in range(6_000)
    ]
    with database(server) as shop:
        shop.client.drop_database("shop")
        shop.products.insert_many(
            [*products, {"product_id": 5, "product_name": "broken", "category": "lamps"}]
        )
        broken = str(shop.products.find_one({"product_id": 5})["_id"])
    source = f"{server}/shop.products#snapshot=3650d"
    assert figures(run_job("commerce_catalog", source, tmp_path)) == (6_001, 6_000, 0, 1, True)
    assert figures(run_job("commerce_catalog", source, tmp_path)) == (6_001, 0, 6_000, 1, True)
    with database(server) as shop:
        shop.products.update_one({"product_id": "P1"}, {"$set": {"price": Decimal128("21.00")}})
    assert figures(run_job("commerce_catalog", source, tmp_path)) == (6_001, 1, 5_999, 1, True)
    later = f"{server}/shop.products#snapshot=1s"
    assert figures(run_job("commerce_catalog", later, tmp_path)) == (6_001, 6_000, 0, 1, True)
    query = "select count(*), count(distinct product_id), count(distinct snapshot_at) from product_catalog"
    assert rows(tmp_path, query) == [(12_001, 6_000, 2)]
    query = "select code, source.message_id, json_extract_string(payload, '$.product_name') from dead_letters"
    assert rows(tmp_path, query) == [("type", broken, "broken")] * 2
    query = "select distinct price::text, updated_at::text from product_catalog where product_id = 'P7'"
    assert rows(tmp_path, query) == [("19.900000000", "2025-01-01 00:00:00+00")]


def test_missing_collection_or_server_fails_the_check_without_its_password(shop: Any, server: str) -> None:
    source = open_source(f"{server.replace('//', '//user:secret@')}/shop.nothing")
    with pytest.raises(SourceError) as caught:
        source.check()
    assert "secret" not in str(caught.value)
    with pytest.raises(
        SourceError, match=re.escape(f"{server}/shop.nothing: expected a collection nothing in shop")
    ):
        open_source(f"{server}/shop.nothing").check()
    port = free_port()
    with pytest.raises(
        SourceError, match=rf"^mongodb://127.0.0.1:{port}/shop.products: cannot read: .*refused"
    ):
        open_source(f"mongodb://127.0.0.1:{port}/shop.products?serverSelectionTimeoutMS=300").check()


SHAPE = "expected mongodb://HOST/DATABASE.COLLECTION, got"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mongodb://u:p@host/shop", f"{SHAPE} 'mongodb://host/shop'"),
        ("mongodb://host", f"{SHAPE} 'mongodb://host'"),
        (
            "mongodb://host/shop.products#snapshot=day",
            "mongodb://host/shop.products: snapshot: expected a duration with its unit, such as 500ms, 10s, 5m, 2h or"
            " 7d, got 'day'",
        ),
        (
            "mongodb://host/shop.products#filter=x",
            "mongodb://host/shop.products: expected options among snapshot behind #, got 'filter'",
        ),
    ],
)
def test_wrong_url_is_rejected(url: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"(?m)^{re.escape(message)}$"):
        open_source(url)


def test_object_or_uuid_id_becomes_text() -> None:
    import bson

    document = bson.encode(
        {"_id": {"a": 1}, "n": UUID(int=1)},
        codec_options=bson.CodecOptions(uuid_representation=UuidRepresentation.STANDARD),
    )
    assert to_json(document)[1] == ['{"a":1}']
    assert msgspec.json.decode(to_json(document)[0][0])["n"] == str(UUID(int=1))
