"""Pages in a folder, so that an interrupted run continues where it stopped; without the secrets of the API's URL."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote_plus

import msgspec

from sluice.config.urls import Url
from sluice.errors import ConfigError, SourceError
from sluice.sources.http_api.pages import Page, Rules
from sluice.storage import Store

_SHORTEST_SECRET = 4
"""Characters of a secret that is taken out of a body: shorter texts are in most bodies by chance."""

_MARK = re.compile(rb"\0(\d+)\0")


class StoredPage(msgspec.Struct):
    """A page, and the arrival of its records."""

    page: Page
    arrival: float
    api: str = ""
    """Hash of the API's URL; '' in folders of earlier releases, whose pages have their URLs as they were requested."""
    shown: str = ""
    """The API's URL without its secrets."""


class Redaction:
    """Puts marks in the place of secrets, and secrets in the place of marks; nothing else of a page changes.

    Secrets are the token, and the values in the query of the API's URL that messages must not show. An answer may
    repeat them, such as in its link to the next page.
    """

    def __init__(self, api: Url, rules: Rules, token: str) -> None:
        """Take the secrets of an API."""
        query = api.reveal().partition("#")[0].partition("?")[2]
        pairs = (pair.partition("=") for pair in query.split("&"))
        secrets = [token, *(value for name, _, value in pairs if unquote_plus(name) not in rules.harmless)]
        plain = [unquote_plus(secret) for secret in secrets]
        spellings = {*secrets, *plain, *(quote(text, safe="") for text in plain), *map(quote_plus, plain)} - {
            ""
        }
        # A NUL has a mark, too, so that a body with something like a mark in it is the same again.
        self._texts = [
            b"\0",
            *sorted((text.encode() for text in spellings), key=lambda text: (-len(text), text)),
        ]
        self._in_urls = _any_of(self._texts)
        self._in_bodies = _any_of(
            [text for text in self._texts if len(text) >= _SHORTEST_SECRET or text == b"\0"]
        )

    def hide(self, page: Page) -> Page:
        """Return a page with marks in the place of the secrets."""
        marks = {text: b"\0%d\0" % index for index, text in enumerate(self._texts)}

        def hidden(text: str) -> str:
            return self._in_urls.sub(lambda match: marks[match[0]], text.encode()).decode()

        return _changed(page, hidden, self._in_bodies.sub(lambda match: marks[match[0]], page.body))

    def reveal(self, page: Page) -> Page:
        """Return a page with the secrets in the place of the marks."""

        def secret(match: re.Match[bytes]) -> bytes:
            return self._texts[int(match[1])]

        return _changed(
            page, lambda text: _MARK.sub(secret, text.encode()).decode(), _MARK.sub(secret, page.body)
        )


def _any_of(texts: list[bytes]) -> re.Pattern[bytes]:
    return re.compile(b"|".join(map(re.escape, texts)))


def _changed(page: Page, change: Any, body: bytes) -> Page:
    def in_value(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: in_value(member) for name, member in value.items()}
        return change(value) if isinstance(value, str) else value

    return Page(
        change(page.url),
        body,
        change(page.link),
        page.lines,
        change(page.redirected_to),
        in_value(page.headers),
    )


class PageCache:
    """The pages of earlier runs and of this one in a folder, a file each."""

    def __init__(self, store: Store, api: Url, rules: Rules, token: str) -> None:
        """Open the folder.

        Raises:
            ConfigError: its pages are those of another API, or of the same with another query.

        """
        self._store = store
        self._names = store.list("")
        self._earlier = len(self._names)
        self._redaction = Redaction(api, rules, token)
        self._api = hashlib.sha256(api.reveal().encode()).hexdigest()
        self._shown = str(api)
        if self._names:
            first = self._load(0)
            if first.api != self._api and (first.api or first.page.url != api.reveal()):
                shown = first.shown or rules.shown(first.page.url)
                hint = " with another query" if shown == self._shown else ""
                message = f"{store.root}: expected pages of {api}, got those of {shown}{hint}"
                raise ConfigError(message)

    def is_last(self, number: int) -> bool:
        """Return whether the page is the last of earlier runs."""
        return number == self._earlier - 1

    def read(self, number: int) -> StoredPage | None:
        """Return a page of an earlier run; None if it has none with this number."""
        return self._load(number) if number < self._earlier else None

    def add(self, stored: StoredPage) -> None:
        """Store a page of this run behind the others.

        Raises:
            SourceError: another run has stored one there.

        """
        name = f"{len(self._names):08d}.page"
        hidden = StoredPage(self._redaction.hide(stored.page), stored.arrival, self._api, self._shown)
        if not self._store.create(name, msgspec.msgpack.encode(hidden)):
            message = f"{self._store.url(name)}: expected no such page yet; another run reads this API"
            raise SourceError(message)
        self._names.append(name)

    def _load(self, number: int) -> StoredPage:
        stored = msgspec.msgpack.decode(self._store.read(self._names[number]), type=StoredPage)
        if stored.api:
            stored.page = self._redaction.reveal(stored.page)
        return stored
