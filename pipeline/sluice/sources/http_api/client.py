"""Requests to an API: retries, redirects, and limits of what an answer may be."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sluice.errors import SourceError
from sluice.formats.compression import MAGIC_BYTES, decompress, detect_codec
from sluice.formats.content import open_content, peek
from sluice.formats.json_syntax import NOT_JSON
from sluice.retry import RetryPolicy
from sluice.sources.http_api.documents import HEADER, KeyPath, open_document
from sluice.sources.http_api.history import BROKEN_LINK
from sluice.sources.http_api.links import BrokenLinkError, is_same_server, next_links, parse_url, resolve
from sluice.sources.http_api.names import is_page_total, is_total, leads_on, normalize, says_more
from sluice.sources.http_api.pages import Page, Rules
from sluice.sources.http_api.unknown_hints import describes_page

if TYPE_CHECKING:
    import httpx

_OK = 200
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request may yet succeed."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 10
_BAD_LOCATION = "in location header"
"""In the text of httpx's error, which it raises before it is asked to follow a redirect."""

_PAST_THE_END = frozenset({204, 404})
"""Statuses of numbered pages behind the last one."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_CHUNK_BYTES = 64 << 10
"""Of a packed answer; `decompress` unpacks it in small pieces, so that the limit is noticed in time."""

_CHARSET = re.compile(r"charset\s*=\s*\"?([a-z0-9._:-]+)")

_HTTP_DATES = ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y")
"""RFC 9110, section 5.6.7."""

_LINE_TYPES = ("ndjson", "jsonl", "json-seq", "json-lines")


class _TransientError(Exception):
    """A request failed and may succeed later; `after` is how long the API asked to wait, in seconds."""

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


@dataclass(frozen=True, slots=True)
class Limits:
    """What requests may take: seconds, and bytes of an unpacked answer."""

    timeout: float
    retry_for: float
    page_bytes: int


class ApiClient:
    """Requests pages, and repeats requests that fail transiently."""

    def __init__(
        self, api: str, rules: Rules, token: str, limits: Limits, sleep: Callable[[float], None]
    ) -> None:
        """Read the API at the URL `api`; a `token` that is not empty is sent to its server only."""
        import httpx

        # Other codings unpack a small answer to gigabytes at once.
        headers = {"Accept": "application/json", "Accept-Encoding": "gzip"}
        self._api, self._rules, self._token, self._limits = api, rules, token, limits
        self._client = httpx.Client(headers=headers, timeout=limits.timeout, follow_redirects=False)
        self._retry = RetryPolicy(
            limits.retry_for,
            errors=(_TransientError,),
            first_pause=_FIRST_PAUSE,
            longest_pause=_LONGEST_PAUSE,
            requested_pause=_requested_pause,
            sleep=sleep,
        )

    def __enter__(self) -> ApiClient:
        """Return the client."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close its connections."""
        self._client.close()

    def fetch(self, url: str, *, may_end: bool = False) -> Page | None:
        """Return the page at `url`; None if `may_end` and the API answers that there is none.

        Raises:
            SourceError: the API failed for as long as requests are repeated, or rejected the request.

        """
        shown = self._rules.shown(url)
        try:
            return self._retry(lambda: self._get(url, shown, may_end=may_end))
        except _TransientError as error:
            message = f"{error}; tried for {self._limits.retry_for:g} s"
            raise SourceError(message) from error

    def _get(self, url: str, shown: str, *, may_end: bool) -> Page | None:
        target = url
        for _ in range(_MOST_REDIRECTS + 1):
            with self._open(target, shown) as answer:
                location = answer.headers.get("Location")
                if answer.status_code not in _REDIRECTS or location is None:
                    return self._page(url, target, shown, answer, may_end=may_end)
                try:
                    target = resolve(location, target, self._api, self._rules.servers)
                except SourceError as error:
                    message = f"{shown}: redirect: {error}"
                    raise SourceError(message) from error
        message = f"{shown}: expected an answer, got {_MOST_REDIRECTS + 1} redirects in a row"
        raise SourceError(message)

    @contextmanager
    def _open(self, target: str, shown: str) -> Iterator[httpx.Response]:
        """Yield the answer to one request; its body is read within."""
        import httpx

        try:
            is_own = is_same_server(parse_url(target), parse_url(self._api))
            headers = {"Authorization": f"Bearer {self._token}"} if self._token and is_own else {}
            with self._client.stream("GET", target, headers=headers) as answer:
                yield answer
        except httpx.TransportError as error:
            if _BAD_LOCATION in str(error):
                message = f"{shown}: redirect: expected the URL of a page, got another Location"
                raise SourceError(message) from error
            message = f"{shown}: expected an answer, got {type(error).__name__}: {error}".rstrip(": ")
            raise _TransientError(message) from error
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            message = f"{shown}: expected an answer, got {type(error).__name__}: {error}"
            raise SourceError(message) from error

    def _page(
        self, url: str, target: str, shown: str, answer: httpx.Response, *, may_end: bool
    ) -> Page | None:
        status = f"{answer.status_code} {answer.reason_phrase}".strip()
        if answer.status_code in _TRANSIENT:
            message = f"{shown}: expected status {_OK}, got {status}"
            raise _TransientError(message, retry_after(answer.headers.get("Retry-After", ""), time.time()))
        if may_end and answer.status_code in _PAST_THE_END:
            return None
        if answer.status_code != _OK:
            message = f"{shown}: expected status {_OK}, got {status}"
            raise SourceError(message)
        kind = answer.headers.get("Content-Type", "").lower()
        body = _in_utf8(self._read(answer, shown), kind)
        headers = _hints(answer.headers, self._rules.next)
        link = _next_link(answer.headers.get_list("Link"))
        if link is None:
            headers[BROKEN_LINK] = True
        redirected_to = target if target != url else ""
        return Page(url, body, link or "", any(name in kind for name in _LINE_TYPES), redirected_to, headers)

    def _read(self, answer: httpx.Response, shown: str) -> bytes:
        """Return the unpacked body of an answer."""
        coding = answer.headers.get("Content-Encoding", "identity").strip().lower()
        if coding not in ("identity", "gzip", "x-gzip", ""):
            message = f"{shown}: expected an answer with Content-Encoding gzip or none, got {coding!r}"
            raise SourceError(message)
        pieces, size = [], 0
        chunks = answer.iter_raw(_CHUNK_BYTES)
        for piece in open_content(
            _unpacked(chunks, shown) if coding.endswith("gzip") else chunks, shown
        ).chunks:
            pieces.append(piece)
            size += len(piece)
            if size > self._limits.page_bytes:
                limit = self._limits.page_bytes
                message = f"{shown}: expected an answer of at most {limit} bytes, got more; set #max_page="
                raise SourceError(message)
        return b"".join(pieces)


def _unpacked(chunks: Iterator[bytes], shown: str) -> Iterator[bytes]:
    """Yield what a server packed for the way. If it is cut off, another answer may be whole."""
    first, rest = peek(chunks, MAGIC_BYTES)
    codec = detect_codec(first)
    try:
        yield from rest if codec is None else decompress(rest, codec, shown)
    except SourceError as error:
        raise _TransientError(str(error)) from error


def _in_utf8(body: bytes, content_type: str) -> bytes:
    """Return a body in UTF-8; the charset of its type counts only if it is in another encoding."""
    charset = _CHARSET.search(content_type)
    if charset is None or body.isascii():
        return body
    try:
        body.decode()
    except UnicodeDecodeError:
        try:
            return body.decode(charset[1]).encode()
        except (LookupError, UnicodeError):
            return body
    return body


def _next_link(headers: list[str]) -> str | None:
    """Return the target of the link to the next page; '' if there is none, None if the header does not tell."""
    try:
        targets = set(next_links(headers))
    except BrokenLinkError as error:
        return None if "next" in str(error).lower() else ""
    # An empty target is the page itself.
    return None if len(targets) > 1 else next((target or "#" for target in targets), "")


def _hints(headers: httpx.Headers, wanted: KeyPath | None) -> dict[str, Any]:
    """Return the headers that say something of other pages, and the `wanted` one: `header:NAME` -> value."""
    found: dict[str, Any] = {}
    for name, value in headers.items():
        plain = normalize(name)
        key = f"{HEADER}{name.lower()}"
        if plain == "pagination":
            found[key] = _document(value)
        elif plain == "contentrange":
            found[key] = value.rpartition("/")[2]
        elif _is_hint(name, plain, value) or (wanted is not None and wanted.keys == (key,)):
            found[key] = value
    return found


def _is_hint(name: str, plain: str, value: str) -> bool:
    leads = plain.startswith(("next", "continu", "mscontinu")) or "cursor" in plain
    counts = is_total(name) or is_page_total(name) or describes_page(name)
    return counts or says_more(name, value) is not None or (leads and leads_on(name))


def _document(value: str) -> Any:
    try:
        return open_document(value.encode())
    except NOT_JSON:
        return value


def _requested_pause(error: BaseException) -> float | None:
    return error.after if isinstance(error, _TransientError) else None


def retry_after(header: str, now: float) -> float | None:
    """Return the seconds to wait that a Retry-After header asks for: a number or a date; None if it is neither.

    Source: RFC 9110, section 10.2.3. `now` is in epoch seconds.
    """
    text = header.strip()
    if re.fullmatch("[0-9]+", text):
        return float(text)
    for form in _HTTP_DATES:
        try:
            return max(datetime.strptime(text, form).replace(tzinfo=UTC).timestamp() - now, 0.0)
        except ValueError:
            continue
    return None
