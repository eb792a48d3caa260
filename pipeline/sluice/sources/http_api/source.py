"""A JSON API as a source, page by page."""

from __future__ import annotations

import email.utils
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import apache_beam as beam
import msgspec
import xxhash

from sluice.clock import Clock, system_clock
from sluice.config.durations import floor_to
from sluice.config.urls import Url
from sluice.elements import RecordBatch
from sluice.errors import ConfigError, SourceError
from sluice.provenance import MessageProvenance
from sluice.retry import RetryPolicy
from sluice.sources.http_api.pages import Page, Rules, next_url, parse_page
from sluice.storage import Store, open_store

if TYPE_CHECKING:
    import httpx

_OK = 200
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request may yet succeed."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_SAME_PAGES = 10
"""An API that answers with this many equal pages in a row, none of them empty, ignores the page of the request."""

_BATCH_RECORDS = 10_000


@dataclass(frozen=True, slots=True)
class Api:
    """The first page of an API, and how to read it. `token` names an environment variable; times are in seconds."""

    url: Url
    """Of the first page."""
    rules: Rules
    token: str
    timeout: float
    retry_for: float
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
        """Raise ConfigError if the token's variable is not set; the API itself gets no request before the run."""
        _token(self.api)

    def size(self) -> int | None:
        """Return None: an API does not report its size."""
        return None

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[RecordBatch]:
        """Read on one worker: each page names the next."""
        return (
            begin
            | "Name API" >> beam.Create([self.api])
            | "Read pages" >> beam.FlatMap(read_api, self._clock()).with_output_types(RecordBatch)
        )


def read_api(api: Api, started: float, sleep: Callable[[float], None] = time.sleep) -> Iterator[RecordBatch]:
    """Yield the records of all pages; `started` is when the run began, `sleep` waits between attempts.

    Raises:
        SourceError: the API failed for `retry_for`, rejected a request, or its pages form a loop.

    """
    cache = _PageCache(open_store(api.keep), api) if api.keep else None
    arrival = floor_to(started, api.snapshot)
    with _Client(api, sleep) as client:
        url: str | None = api.url.reveal()
        seen: set[str] = set()
        before, same, number = b"", 0, 0
        while url is not None:
            stored = cache.read(number) if cache is not None else None
            if stored is None:
                stored = StoredPage(client.fetch(url), arrival)
            page = stored.page
            parsed = parse_page(page, api.rules)
            if cache is not None and parsed.records:
                cache.add(number, stored)
            yield from _batches(api, page, parsed.records, stored.arrival)
            same = same + 1 if page.body == before and parsed.records else 0
            if same >= _SAME_PAGES:
                problem = f"expected another page, got the same {same + 1} times; check #paging="
                message = f"{api.rules.shown(page.url)}: {problem}"
                raise SourceError(message)
            before, number = page.body, number + 1
            if cache is not None and cache.is_last(number - 1) and client.has_changed(page):
                url = page.url
                continue  # it has grown since it was the last page of an earlier run
            seen.add(page.url)
            following = next_url(page, parsed, api.rules)
            if following in seen and following != page.url:
                shown = api.rules.shown
                message = f"{shown(page.url)}: expected a new page to follow, got one that was read: {shown(following)}"
                raise SourceError(message)
            url = None if following == page.url else following  # a last page may name itself as the next


class StoredPage(msgspec.Struct):
    """A page, and the arrival of its records."""

    page: Page
    arrival: float


class _PageCache:
    """The pages of earlier runs and of this one in a folder, a file each."""

    def __init__(self, store: Store, api: Api) -> None:
        self._store = store
        self._names = store.list("")
        self._earlier = len(self._names)
        first = self._load(0).page.url if self._names else api.url.reveal()
        if first != api.url.reveal():
            message = f"{store.root}: expected pages of {api.url}, got those of {api.rules.shown(first)}"
            raise ConfigError(message)

    def is_last(self, number: int) -> bool:
        """Return whether the page is the last of earlier runs."""
        return number == self._earlier - 1

    def read(self, number: int) -> StoredPage | None:
        return self._load(number) if number < self._earlier else None

    def add(self, number: int, stored: StoredPage) -> None:
        if number < self._earlier:
            return
        name = f"{number:08d}.page"
        if not self._store.create(name, msgspec.msgpack.encode(stored)):
            message = f"{self._store.url(name)}: expected no such page yet; another run reads this API"
            raise SourceError(message)

    def _load(self, number: int) -> StoredPage:
        return msgspec.msgpack.decode(self._store.read(self._names[number]), type=StoredPage)


def _batches(api: Api, page: Page, records: Any, arrival: float) -> Iterator[RecordBatch]:
    for at in range(0, len(records), _BATCH_RECORDS):
        part = records[at : at + _BATCH_RECORDS]
        provenance = MessageProvenance(
            uri=str(api.url),
            arrival=arrival,
            message_ids=[xxhash.xxh3_128_hexdigest(record) for record in part],
            arrivals=[arrival] * len(part),
            attributes=[{"page": api.rules.shown(page.url)}] * len(part),
        )
        yield RecordBatch(part, provenance)


def _token(api: Api) -> str:
    if api.token and not os.environ.get(api.token):
        message = f"{api.url}: expected a bearer token in the environment variable {api.token}, got nothing"
        raise ConfigError(message)
    return os.environ.get(api.token, "") if api.token else ""


class _TransientError(Exception):
    """A request failed and may succeed later; `after` is how long the API asked to wait, in seconds."""

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


class _Client:
    """Requests pages, and repeats requests that fail transiently."""

    def __init__(self, api: Api, sleep: Callable[[float], None]) -> None:
        import httpx

        token = _token(api)
        headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        self._api = api
        self._client = httpx.Client(headers=headers, timeout=api.timeout, follow_redirects=True)
        self._transient = (httpx.TransportError, httpx.DecodingError)
        self._permanent = (httpx.HTTPError, httpx.InvalidURL)
        self._retry = RetryPolicy(
            api.retry_for,
            errors=(_TransientError,),
            first_pause=_FIRST_PAUSE,
            longest_pause=_LONGEST_PAUSE,
            requested_pause=_requested_pause,
            sleep=sleep,
        )

    def __enter__(self) -> _Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def fetch(self, url: str) -> Page:
        """Return the page at `url`."""
        try:
            return self._retry(lambda: self._get(url))
        except _TransientError as error:
            message = f"{error}; tried for {self._api.retry_for:g} s"
            raise SourceError(message) from error

    def has_changed(self, page: Page) -> bool:
        """Return whether the API now answers with another body."""
        return self.fetch(page.url).body != page.body

    def _get(self, url: str) -> Page:
        shown = self._api.rules.shown(url)
        try:
            answer = self._client.get(url)
        except self._transient as error:
            message = f"{shown}: expected an answer, got {type(error).__name__}: {error}".rstrip(": ")
            raise _TransientError(message) from error
        except self._permanent as error:
            message = f"{shown}: expected an answer, got {type(error).__name__}: {error}"
            raise SourceError(message) from error
        status = f"{answer.status_code} {answer.reason_phrase}".strip()
        if answer.status_code in _TRANSIENT:
            message = f"{shown}: expected status {_OK}, got {status}"
            raise _TransientError(message, _retry_after(answer.headers.get("Retry-After", "")))
        if answer.status_code != _OK:
            message = f"{shown}: expected status {_OK}, got {status}"
            raise SourceError(message)
        kind = answer.headers.get("Content-Type", "")
        lines = any(name in kind for name in ("ndjson", "jsonl", "json-seq", "json-lines"))
        return Page(url, answer.content, next_link(answer), lines)


def next_link(answer: httpx.Response) -> str:
    """Return the URL of `rel="next"` among the links of an answer's header; '' if there is none."""
    links = [{name.lower(): value for name, value in link.items()} for link in answer.links.values()]
    return next((link["url"] for link in links if "next" in link.get("rel", "").split()), "")


def _requested_pause(error: BaseException) -> float | None:
    return error.after if isinstance(error, _TransientError) else None


def _retry_after(header: str) -> float | None:
    """Return the seconds of a Retry-After header, which may be a date; None if it is neither."""
    if header.strip().isdigit():
        return float(header)
    try:
        time_of_retry = email.utils.parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(time_of_retry.timestamp() - time.time(), 0.0)
