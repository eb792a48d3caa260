"""What a page says, as a browser without scripts would read it."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser


class Page(HTMLParser):
    """Tags and attributes of a page, its text, its figures by name, its codes, and the rows of its tables by id."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: Counter[str] = Counter()
        self.figures: dict[str, str] = {}
        self.codes: dict[str, str] = {}
        self.rows: dict[str, list[list[str]]] = {}
        self.text = ""
        self._table = ""
        self._cell: tuple[dict[str, str], str] | None = None
        self._after: list[tuple[dict[str, str], str]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes.update(name for name, _ in attrs)
        given = dict(attrs)
        if tag == "tbody":
            self._table = given.get("id") or ""
            self.rows.setdefault(self._table, [])
        elif tag == "tr" and self._table:
            self.rows[self._table].append([])
        if given.get("data-figure"):
            self._after.append((self.figures, str(given["data-figure"])))
        elif given.get("data-code"):
            self._after.append((self.codes, str(given["data-code"])))
        elif tag in ("td", "th") and self._table:
            self.rows[self._table][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "tbody":
            self._table = ""

    def handle_data(self, data: str) -> None:
        self.text += data
        while self._after:
            values, name = self._after.pop()
            values[name] = data
        if self._table and self.rows[self._table] and self.rows[self._table][-1] and data.strip():
            self.rows[self._table][-1][-1] += data
