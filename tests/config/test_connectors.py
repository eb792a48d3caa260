from __future__ import annotations

import pickle
import re
from dataclasses import dataclass
from typing import ClassVar

import pytest
from sluice.config.connectors import Client, Connector, choose, describe
from sluice.config.durations import duration
from sluice.config.options import OneOf, OptionDescription, option
from sluice.config.urls import Url
from sluice.errors import ConfigError

SECRET = "s3cr3t"


def pair(text: str, where: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


@dataclass(frozen=True, kw_only=True)
class Shop(Connector[str]):
    """Orders of a shop.

    More about it.
    """

    schemes = ("shop",)
    shape = "shop://USER@HOST/TABLE"
    place = re.compile(r"(?P<host>[a-z:0-9]+)/(?P<table>[a-z]+)")
    client: ClassVar[Client | None] = Client("no_such_client.of_shops", "shop")

    user: str = option("who reads", default="", part=True)
    password: str = option("of the user", default="", part=True, secret=True)
    host: str = option("the server", part=True)
    table: str = option("what is read", part=True)
    group: str = option("the reader's name", example="sluice")
    wait: float = option("how long to wait", default="30s", parse=duration)
    mode: str = option("how", default="all", parse=OneOf("all", "new"))
    pin: str = option("a secret number", default="", secret=True, parse=OneOf("1", "2"))
    code: tuple[str, ...] = option("which", many=True)
    label: tuple[tuple[str, str], ...] = option("labels", family="NAME", parse=pair)

    def open(self) -> str:
        return f"{self.host}/{self.table}"


@dataclass(frozen=True, kw_only=True)
class Api(Connector[str]):
    """Pages of an API."""

    schemes = ("http", "https")
    shape = "https://HOST/PATH"
    place = re.compile(r"(?P<host>[^/]+)(/.*)?")
    options_after = "#"
    credentials = "name a variable with #token="

    host: str = option("the server", part=True)
    token: str = option("name of a variable", default="")

    def open(self) -> str:
        return self.host


@dataclass(frozen=True, kw_only=True)
class Bucket(Connector[str]):
    """Files of a bucket."""

    schemes = ("s3",)
    shape = "s3://BUCKET/PATH"
    place = re.compile(r"(?P<path>[^/]+/.*)")
    options_after = ""
    credentials = "they come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"

    path: str = option("of the files", part=True)

    def open(self) -> str:
        return self.path


def test_url_is_parsed_as_declared() -> None:
    shop = Shop.parse(
        "shop://ada:p%40ss@h:1/orders?group=g%20h+i&wait=2m&mode=new&pin=1&code=a&code=b&label.x=1&label.y=2"
    )
    assert (shop.user, shop.password, shop.host, shop.table) == ("ada", "p@ss", "h:1", "orders")
    assert (shop.group, shop.wait, shop.mode, shop.pin) == ("g h+i", 120, "new", "1")
    assert (shop.code, shop.label) == (("a", "b"), (("x", "1"), ("y", "2")))
    assert pickle.loads(pickle.dumps(shop)) == shop
    least = Shop.parse("shop://h/orders?group=g")
    assert (least.user, least.wait, least.mode, least.code) == ("", 30, "all", ())
    assert Shop.parse("shop://h/orders", group="other").group == "other"
    assert Shop.parse("shop://h/orders?group=g", group="other").group == "g"


def test_parsed_url_prints_what_is_declared_harmless() -> None:
    shop = Shop.parse(f"shop://ada:{SECRET}@h/orders?group=g&pin=1&label.x=1")
    assert str(shop.url) == "shop://ada@h/orders?group=g&label.x=1"
    assert SECRET not in repr(shop)
    assert "pin" not in repr(shop)
    assert str(Api.parse(f"https://h/x?key={SECRET}#token=T").url) == "https://h/x"
    assert str(Bucket.parse("s3://b/a?.json#1").url) == "s3://b/a?.json#1"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("shop://h", "expected shop://USER@HOST/TABLE, got 'shop://h'"),
        ("shop://h/T?group=g", "expected shop://USER@HOST/TABLE, got 'shop://h/T?group=g'"),
        ("shop://h/t?group=g#x", "expected shop://USER@HOST/TABLE, got 'shop://h/t?group=g'"),
        ("shop:h/t", "expected shop://USER@HOST/TABLE, got 'shop:'"),
        (
            f"shop://u:{SECRET}/x@h/t",
            "shop://: expected shop://USER@HOST/TABLE, with user, password and options percent-encoded",
        ),
        ("shop://h/t", "shop://h/t: group: expected the reader's name, got nothing"),
        ("shop://h/t?group=", "shop://h/t?group=: group: expected a value, got nothing"),
        (
            "shop://h/t?group=a&group=b",
            "shop://h/t?group=a&group=b: group: expected this option once, got it twice",
        ),
        (
            f"shop://h/t?group=g&password={SECRET}",
            "shop://h/t?group=g: expected options among group, wait, mode, pin, code, label.NAME behind ?,"
            " got 'password'",
        ),
        (
            f"shop://h/t?{SECRET}",
            "shop://h/t: expected options as NAME=VALUE, joined by &, got one without =",
        ),
        (
            "shop://h/t?group=g&label=x",
            "shop://h/t?group=g&label=x: expected options among group, wait, mode, pin, code, label.NAME behind ?,"
            " got 'label'",
        ),
        (
            "shop://h/t?wait=3",
            "shop://h/t?wait=3: wait: expected a duration with its unit, such as 500ms, 10s, 5m, 2h or 7d, got '3'",
        ),
        ("shop://h/t?mode=x", "shop://h/t?mode=x: mode: expected one of all, new, got 'x'"),
        (
            f"shop://h/t?pin={SECRET}",
            "shop://h/t: pin: expected another value; it is secret and not repeated here",
        ),
    ],
)
def test_wrong_url_is_rejected(url: str, message: str) -> None:
    for where, prefix in (("", ""), ("jobs/x.yaml: source", "jobs/x.yaml: source: ")):
        with pytest.raises(ConfigError) as caught:
            Shop.parse(Url(url, where=where))
        assert str(caught.value) == prefix + message


def test_credentials_in_a_url_are_rejected_where_they_come_from_elsewhere() -> None:
    for address, connector, message in (
        (
            f"https://u:{SECRET}@h/x",
            Api,
            f"https://h/x: expected no user or password in the URL; {Api.credentials}",
        ),
        (
            f"https://{SECRET}@h/x",
            Api,
            f"https://h/x: expected no user or password in the URL; {Api.credentials}",
        ),
        (
            f"s3://K:{SECRET}/x@b/x?y",
            Bucket,
            f"s3://: expected no user or password in the URL; {Bucket.credentials}",
        ),
    ):
        with pytest.raises(ConfigError) as caught:
            connector.parse(address)
        assert str(caught.value) == message


def test_missing_client_is_one_line_that_names_the_extra() -> None:
    shop = Shop.parse(f"shop://u:{SECRET}@h/t?group=g")
    with pytest.raises(ConfigError) as caught:
        shop.check_client()
    assert str(caught.value) == (
        "shop://u@h/t?group=g: its client is not installed: pip install 'sluice-beam[shop]'"
    )
    Api.parse("https://h/x").check_client()


def test_connector_is_chosen_by_scheme() -> None:
    connectors: dict[str, type[Connector[str]]] = {"shop": Shop, "s3": Bucket}
    assert choose(connectors, Url("shop://h/t")) is Shop
    assert choose(connectors, Url("in/a:b.json"), otherwise="s3") is Bucket
    with pytest.raises(ConfigError) as caught:
        choose(connectors, Url(f"SHOP://u:{SECRET}@h/t?x={SECRET}", where="--source"), otherwise="s3")
    assert (
        str(caught.value) == "--source: expected a path or a URL with one of s3://, shop://, got 'SHOP://h/t'"
    )
    with pytest.raises(ConfigError) as caught:
        choose(connectors, Url("w.duckdb"))
    assert str(caught.value) == "expected a URL with one of s3://, shop://, got 'w.duckdb'"


def test_connector_describes_itself() -> None:
    shop = describe(Shop)
    assert (shop.schemes, shop.shape, shop.summary) == (("shop",), Shop.shape, "Orders of a shop.")
    assert (shop.extra, shop.installed, shop.options_after) == ("shop", False, "?")
    assert [part.name for part in shop.parts] == ["user", "password", "host", "table"]
    assert shop.options[:3] == (
        OptionDescription("group", "the reader's name", "", "sluice", True, False, ()),
        OptionDescription("wait", "how long to wait", "30s", "", False, False, ()),
        OptionDescription("mode", "how", "all", "", False, False, ("all", "new")),
    )
    assert shop.options[-1].name == "label.NAME"
    assert (describe(Api).extra, describe(Api).installed) == ("", True)
