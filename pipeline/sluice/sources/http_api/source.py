"""A JSON API as a source, page by page."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import apache_beam as beam
import xxhash

from sluice.addresses import mask
from sluice.clock import Clock, system_clock
from sluice.config.durations import floor_to
from sluice.config.urls import Url
from sluice.elements import RecordBatch
from sluice.errors import ConfigError
from sluice.provenance import MessageProvenance
from sluice.sources.http_api.client import ApiClient, Limits
from sluice.sources.http_api.history import History
from sluice.sources.http_api.links import parse_url, query_of, with_param
from sluice.sources.http_api.page_cache import PageCache, StoredPage
from sluice.sources.http_api.pages import Page, Rules
from sluice.sources.limited import first_records
from sluice.storage import open_store

_BATCH_RECORDS = 10_000


@dataclass(frozen=True, slots=True)
class Api:
    """The first page of an API, and how to read it. `token` names an environment variable; times are in seconds."""

    url: Url
    """Of the first page."""
    rules: Rules
    token: str
    limits: Limits
    snapshot: float
    keep: Url | None


class HttpSource(beam.PTransform):
    """PBegin -> RecordBatch: the records of all pages, one page after the other.

    The message id of a record is the hash of its content, since pages shift and repeat; its attribute `page` is the
    URL of its page. Its arrival is the beginning of the day (`snapshot`) of the run, or, with `keep`, of the run
    that fetched the page: a record that is read again on that day is the same.
    """

    bounded = True

    def __init__(self, api: Api, clock: Clock = system_clock) -> None:
        """Read the pages of `api`."""
        super().__init__()
        self.api = api
        self._clock = clock

    def check(self) -> None:
        """Check all that is known before the run; the API itself gets no request.

        Raises:
            ConfigError: the token's variable is not set, an address is no URL, or the folder for pages has those of
                another API, or needs a client that is not installed.
            StorageError: the folder for pages cannot be read.

        """
        token = _token(self.api)
        for url, shown in (
            (self.api.url.reveal(), str(self.api.url)),
            *((server, mask(server)) for server in self.api.rules.servers),
        ):
            try:
                parse_url(url)
            except ValueError:
                message = f"{self.api.url.prefix}expected the URL of a web server, got {shown!r}"
                raise ConfigError(
                    message
                ) from None  # Python's error quotes what stands in the place of the port
        _open_pages(self.api, token)

    def size(self) -> int | None:
        """Return None: an API does not report its size."""
        return None

    def sample(self, number: int) -> Iterator[RecordBatch]:
        """Yield at most `number` records of the first pages, as a run would read them now; no page is kept."""
        self.check()
        return first_records(read_api(self.api, self._clock(), keeps=False), number)

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[RecordBatch]:
        """Read on one worker: each page names the next."""
        return (
            begin
            | "Name API" >> beam.Create([self.api])
            | "Read pages" >> beam.FlatMap(read_api, self._clock()).with_output_types(RecordBatch)
        )


def read_api(
    api: Api, started: float, sleep: Callable[[float], None] = time.sleep, *, keeps: bool = True
) -> Iterator[RecordBatch]:
    """Yield the records of all pages; `started` is when the run began, `sleep` waits between attempts.

    Pages that earlier runs have kept are read first, with their arrival; new ones are kept if `keeps`.

    Raises:
        SourceError: the API failed for `retry_for`, rejected a request, its pages form a loop, it hints at more
            records than were read, or it is another one than that whose pages are kept.

    """
    token, url = _token(api), _first_url(api)
    cache = _open_pages(api, token)
    history = History(api.rules, url)
    with ApiClient(url, api.rules, token, api.limits, sleep) as client:
        following: str | None = url
        number = place = 0
        while following is not None:
            stored = cache.read(number) if cache is not None else None
            is_new = stored is None
            if stored is None:
                page = client.fetch(following, may_end=history.numbered)
                if page is None:
                    history.finish(answered=True)
                    return
                stored = StoredPage(page, floor_to(started, api.snapshot))
            records = history.take(stored.page, is_new=is_new)
            if cache is not None and number == 0 and not is_new and not cache.is_last(0):
                _check_first(client, history, stored.page, str(api.keep))
            following = history.next_url()
            if cache is not None and keeps and is_new and (records or following is not None):
                cache.add(stored)
            yield from _batches(api, stored.page, records, stored.arrival, place)
            place += len(records)
            if cache is not None and cache.is_last(number) and _has_grown(client, history, stored.page):
                following = stored.page.url
                history.forget_last()
            number += 1
    history.finish()


def _open_pages(api: Api, token: str) -> PageCache | None:
    """Return the pages of earlier runs, if they are kept."""
    return PageCache(open_store(api.keep), api.url, api.rules, token) if api.keep else None


def _check_first(client: ApiClient, history: History, page: Page, folder: str) -> None:
    """Make sure that the pages that are kept are a position in this API: it may have been made anew.

    Raises:
        SourceError: its first page has no record in common with the one that is kept.

    """
    now = client.fetch(page.url)
    if now is not None:
        history.compare_first(page, now, folder)


def _has_grown(client: ApiClient, history: History, page: Page) -> bool:
    """Return whether the last page of an earlier run has other records now, or leads elsewhere."""
    now = client.fetch(page.url)
    return now is not None and history.has_changed(now)


def _first_url(api: Api) -> str:
    """Return the URL of the first page, with its number if the user set one."""
    url, rules = api.url.reveal(), api.rules
    param = rules.param or "page"
    if rules.first_page is None or param in query_of(url):
        return url
    return with_param(url, param, str(rules.first_page))


def _batches(
    api: Api, page: Page, records: Sequence[bytes], arrival: float, place: int
) -> Iterator[RecordBatch]:
    """Yield the records of a page, behind the `place` records of the pages before it."""
    for at in range(0, len(records), _BATCH_RECORDS):
        part = records[at : at + _BATCH_RECORDS]
        provenance = MessageProvenance(
            uri=str(api.url),
            arrival=arrival,
            message_ids=[xxhash.xxh3_128_hexdigest(record) for record in part],
            arrivals=[arrival] * len(part),
            attributes=[{"page": api.rules.shown(page.url)}] * len(part),
            position=place + at,
            in_places=True,
        )
        yield RecordBatch(part, provenance)


def _token(api: Api) -> str:
    if api.token and not os.environ.get(api.token):
        # Somebody may have given the token itself; names of variables are written in capitals.
        name = api.token if api.token.isupper() else "that #token= names"
        message = f"{api.url}: expected a bearer token in the environment variable {name}, got nothing"
        raise ConfigError(message)
    return os.environ.get(api.token, "") if api.token else ""
