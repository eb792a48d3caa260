"""How a JSON API is named: `https://host/path?query[#options]`. What stands behind the `#` is never sent anywhere."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sluice.config.connectors import Client, Connector
from sluice.config.durations import duration
from sluice.config.options import OneOf, option
from sluice.config.urls import Url
from sluice.errors import ConfigError, quote
from sluice.sources.http_api.documents import KeyPath, key_path
from sluice.sources.http_api.pages import PAGINGS, PLACES_IN_PAGES, Rules

if TYPE_CHECKING:
    from sluice.sources.http_api.source import Api, HttpSource


_LONGEST_NUMBER = 18
_UNITS = {"kB": 10**3, "MB": 10**6, "GB": 10**9}
_SIZE = re.compile(r"([1-9]\d{0,5})(kB|MB|GB)", re.ASCII)


def _names(text: str, _where: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))


def _folder(text: str, where: str) -> Url:
    return Url(text, where=where)


def _number(text: str, where: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER):
        message = f"{where}: expected a number, got {quote(text)}"
        raise ConfigError(message)
    return int(text)


def _size(text: str, where: str) -> int:
    match = _SIZE.fullmatch(text)
    if match is None:
        message = f"{where}: expected a size with its unit, such as 500kB, 128MB or 2GB, got {quote(text)}"
        raise ConfigError(message)
    return int(match[1]) * _UNITS[match[2]]


@dataclass(frozen=True, kw_only=True)
class HttpConnector(Connector["HttpSource"]):
    """Records of a JSON API, page by page."""

    schemes = ("https", "http")
    shape = "https://HOST/PATH"
    place = re.compile(r"(?P<host>[^/]+)(?P<path>/.*)?", re.DOTALL)
    options_after = "#"
    client = Client("httpx", "api")
    credentials = "name an environment variable with a bearer token: #token=VARIABLE"

    host: str = option("server", example="shop.example", part=True)
    path: str = option("path", default="", example="/v1/logs", part=True)
    paging: str = option("how pages follow each other", default="auto", parse=OneOf(*PAGINGS))
    items: KeyPath | None = option(
        "path of the list of records; detected without", default=None, example="data.rows", parse=key_path
    )
    next: KeyPath | None = option(
        "path of the cursor or URL that leads to the next page; detected without",
        default=None,
        example='meta."next.page"',
        parse=key_path,
    )
    cursor: KeyPath | None = option(
        "path in the last record of a page, of the value that asks for the next page; needs `param`",
        default=None,
        example="id",
        parse=key_path,
    )
    param: str = option(
        "parameter of the query that takes the cursor, page number or offset; detected without",
        default="",
        example="after",
    )
    first_page: int | None = option(
        "number of the first page, such as 0; detected without", default=None, example="0", parse=_number
    )
    incomplete: str = option(
        "what happens if the API hints at more records than were read",
        default="fail",
        parse=OneOf("fail", "warn"),
    )
    servers: tuple[str, ...] = option(
        "other servers that links and redirects may lead to, with commas between them; they do not get the token",
        default=(),
        example="https://cdn.example",
        parse=_names,
    )
    show: tuple[str, ...] = option(
        "parameters of the query that messages and dead letters may show, with commas between them; always"
        f" {', '.join(PLACES_IN_PAGES)}, never another one",
        default=(),
        example="shop,since",
        parse=_names,
    )
    token: str = option(
        "name of the environment variable with a bearer token", default="", example="SHOP_TOKEN", secret=True
    )
    timeout: float = option(
        "longest wait for a connection, or for more of an answer", default="30s", parse=duration
    )
    retry_for: float = option("how long one page is tried for", default="5m", parse=duration)
    max_page: int = option("longest answer, unpacked", default="128MB", parse=_size)
    snapshot: float = option("span whose start is the arrival of the records", default="1d", parse=duration)
    keep: Url | None = option(
        "folder, local, gs:// or s3://, for the pages, so that an interrupted run continues where it stopped",
        default=None,
        example="out/pages",
        parse=_folder,
    )

    @classmethod
    def harmless(cls, values: Mapping[str, Any]) -> Collection[str]:
        """Return the parameters that say which page it is, and those that `show` names."""
        return (*PLACES_IN_PAGES, values.get("param", ""), *values.get("show", ()))

    @property
    def api(self) -> Api:
        """What to read, and how."""
        from sluice.sources.http_api.client import Limits
        from sluice.sources.http_api.source import Api

        return Api(
            url=Url(self.url.reveal().partition("#")[0], where=self.url.where, shown=str(self.url)),
            rules=Rules(
                paging=self.paging,
                items=self.items,
                next=self.next,
                cursor=self.cursor,
                param=self.param,
                first_page=self.first_page,
                servers=self.servers,
                warns=self.incomplete == "warn",
                harmless=(*PLACES_IN_PAGES, self.param, *self.show),
            ),
            token=self.token,
            limits=Limits(self.timeout, self.retry_for, self.max_page),
            snapshot=self.snapshot,
            keep=self.keep,
        )

    def open(self) -> HttpSource:
        """Return the source.

        Raises:
            ConfigError: options contradict each other.

        """
        from sluice.sources.http_api.source import HttpSource

        self._check_options()
        return HttpSource(self.api)

    def _check_options(self) -> None:
        given = [name for name in ("next", "cursor", "first_page") if getattr(self, name) is not None]
        paging = {"next": "cursor", "cursor": "cursor", "first_page": "page"}
        for name in given:
            if self.paging not in ("auto", paging[name]):
                message = f"{self.url.label}: {name}: expected paging={paging[name]} or none, got paging={self.paging}"
                raise ConfigError(message)
        if len(given) > 1:
            message = f"{self.url.label}: expected one of {' and '.join(given)}, got both"
            raise ConfigError(message)
        if self.cursor is not None and not self.param:
            message = (
                f"{self.url.label}: cursor: expected param= with the parameter that takes its value, got none"
            )
            raise ConfigError(message)
