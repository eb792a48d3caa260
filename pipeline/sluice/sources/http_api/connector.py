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
from sluice.sources.http_api.pages import PAGINGS, PLACES_IN_PAGES, Rules

if TYPE_CHECKING:
    from sluice.sources.http_api.source import Api, HttpSource


def _names(text: str, _where: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))


def _folder(text: str, where: str) -> Url:
    return Url(text, where=where)


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
    items: str = option(
        "dotted path of the list of records; detected without", default="", example="data.rows"
    )
    next: str = option(
        "dotted path of the cursor or URL that leads to the next page; detected without",
        default="",
        example="meta.next",
    )
    param: str = option(
        "parameter of the query that takes the cursor, page number or offset; detected without",
        default="",
        example="after",
    )
    show: tuple[str, ...] = option(
        "parameters of the query that messages and dead letters may show, with commas between them; always"
        f" {', '.join(PLACES_IN_PAGES)}, never another one",
        default=(),
        example="shop,since",
        parse=_names,
    )
    token: str = option(
        "name of the environment variable with a bearer token", default="", example="SHOP_TOKEN"
    )
    timeout: float = option(
        "longest wait for a connection, or for more of an answer", default="30s", parse=duration
    )
    retry_for: float = option("how long one page is tried for", default="5m", parse=duration)
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
        from sluice.sources.http_api.source import Api

        return Api(
            url=Url(self.url.reveal().partition("#")[0], shown=str(self.url)),
            rules=Rules(
                self.paging, self.items, self.next, self.param, (*PLACES_IN_PAGES, self.param, *self.show)
            ),
            token=self.token,
            timeout=self.timeout,
            retry_for=self.retry_for,
            snapshot=self.snapshot,
            keep=self.keep,
        )

    def open(self) -> HttpSource:
        """Return the source."""
        from sluice.sources.http_api.source import HttpSource

        return HttpSource(self.api)
