"""Samples of every kind of server: a contract is inferred, tried and run, and nothing is acknowledged."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pymongo
import pytest
from sluice.cli.main import main

from devservers import gcs, http_api, kafka, mongodb
from devservers.http_api import HttpRequest, HttpResponse
from devservers.kafka import KafkaTopic

ORDERS = [
    {
        "number": number,
        "at": f"2025-02-08T13:0{number}:00Z",
        "total": Decimal(f"{number}.50"),
        "to": {"city": "Ulm"},
    }
    for number in range(6)
]
LINES = [msgspec.json.Encoder(decimal_format="number").encode(order) for order in ORDERS]


@contextmanager
def api(_: Path) -> Iterator[str]:
    """Three pages of two orders."""

    def respond(request: HttpRequest) -> HttpResponse:
        page = int(request.query.get("page", "1"))
        following = b'"%s/orders?page=%d"' % (server.url.encode(), page + 1) if page < 3 else b"null"
        return HttpResponse(
            200, b'{"data":[%s],"next":%s}' % (b",".join(LINES[2 * page - 2 : 2 * page]), following)
        )

    with http_api.start(respond) as server:
        yield f"{server.url}/orders"
        read = [request.target for request in server.requests]
        pages = ["/orders", "/orders?page=2", "/orders?page=3"]
        assert read == [
            *pages,
            "/orders",
            *pages,
        ]  # the two records of the dry run are those of the first page


@contextmanager
def collection(folder: Path) -> Iterator[str]:
    with mongodb.start(folder / "mongodb") as server:
        client: Any = pymongo.MongoClient(server.address)
        with client:
            client.drop_database("shop")
            documents = [{**msgspec.json.decode(line), "_id": number} for number, line in enumerate(LINES)]
            client.shop.orders.insert_many(documents)
        yield f"{server.address}/shop.orders"


@contextmanager
def topic(folder: Path) -> Iterator[str]:
    (folder / "kafka").mkdir()
    with kafka.start(folder / "kafka") as broker:
        orders = KafkaTopic(broker)
        orders.publish(LINES)
        yield orders.source
        assert orders.unacknowledged() == len(LINES)


@contextmanager
def bucket(_: Path) -> Iterator[str]:
    from google.auth.credentials import AnonymousCredentials
    from google.cloud.storage import Client

    with gcs.start("samples") as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]  # of Google's library
        client = Client(credentials=credentials, project="emulator")
        client.bucket("samples").blob("in/orders.ndjson").upload_from_string(b"\n".join(LINES))
        yield "gs://samples/in/*.ndjson"


@pytest.mark.parametrize("place", [api, collection, topic, bucket], ids=lambda place: place.__name__)
def test_own_data_of_a_server_become_a_table_in_three_commands(
    place: Callable[[Path], Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    with place(tmp_path) as address:
        assert main(["init", "shop", "--yes", "--from", address]) == 0
        shown, flags = capfd.readouterr().out, list[str]()
        if place is topic:  # a stream has late events, which these are
            assert (
                "0 of 6 sample records are accepted\n  rejected: the record: expected at most 604800 s before"
                in shown
            )
            flags = ["--windows.allowed-lateness=3650d"]
        else:
            assert "6 of 6 sample records are accepted" in shown
        assert main(["run", "jobs/shop.yaml", "--dry-run", "--limit", "2", "--json", *flags]) == 0
        found = json.loads(capfd.readouterr().out)
        assert (found["read"], found["accepted"], found["rejected"]) == (2, {"shop": 2}, 0)
        assert not (project / "out").exists()
        assert main(["run", "jobs/shop.yaml", "--limit", "6", "--quiet", *flags]) == 0
    table = duckdb.connect("out/shop/warehouse.duckdb", read_only=True)
    rows = table.execute('SELECT "number", "total", "to".city FROM shop ORDER BY 1').fetchall()
    assert rows == [(order["number"], order["total"], "Ulm") for order in ORDERS]
