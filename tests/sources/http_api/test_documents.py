"""Paths to members of an answer, and answers that are opened without their lists."""

from __future__ import annotations

import re

import msgspec
import pytest
from sluice.errors import ConfigError
from sluice.sources.http_api.documents import MISSING, KeyPath, key_path, look_up, open_document

DOCUMENT = {
    "meta": {"next": 1, "next.page": 2, 'a"b\\': 3, "": 4},
    "/meta": 5,
    "a/b": {"~": 6},
    "list": [{"x": 7}, 8],
    "links": [{"rel": "prev", "href": 9}, {"rel": "NEXT last", "href": 10}],
    "items": [{"relation": ["self", "next"], "url": 11}],
}


@pytest.mark.parametrize(
    ("path", "keys", "value"),
    [
        ("meta.next", ("meta", "next"), 1),
        ('meta."next.page"', ("meta", "next.page"), 2),
        (r'"meta"."a\"b\\"', ("meta", 'a"b\\'), 3),
        ("/meta/", ("meta", ""), 4),
        ('"/meta"', ("/meta",), 5),
        ("/a~1b/~0", ("a/b", "~"), 6),
        ("a/b.~", ("a/b", "~"), 6),
        ("list.0.x", ("list", "0", "x"), 7),
        ("/list/1", ("list", "1"), 8),
        ("links.[rel=next].href", ("links", "[rel=next]", "href"), 10),
        ("items.[rel=next].url", ("items", "[rel=next]", "url"), 11),
        ("header:X-Next.Page", ("header:x-next.page",), MISSING),
        ("list.2", ("list", "2"), MISSING),
        ("list.x", ("list", "x"), MISSING),
        ("list.²", ("list", "²"), MISSING),
        ("meta.next.more", ("meta", "next", "more"), MISSING),
        ("nothing", ("nothing",), MISSING),
    ],
)
def test_path_leads_to_a_member(path: str, keys: tuple[str, ...], value: object) -> None:
    parsed = key_path(path, "next")
    assert parsed == KeyPath(keys)
    assert key_path(str(parsed), "next") == parsed or "" in keys
    assert look_up(open_document(msgspec.json.encode(DOCUMENT)), parsed) == value


@pytest.mark.parametrize("path", [".", "a.", ".a", "a..b", '"a', 'a"b"', '"a"b', '""x'])
def test_text_that_is_no_path_is_rejected(path: str) -> None:
    message = f'next: expected a path such as meta.next, meta."next.page" or /meta/next, got {path!r}'
    with pytest.raises(ConfigError, match=f"(?m)^{re.escape(message)}$"):
        key_path(path, "next")


@pytest.mark.parametrize(
    ("body", "document"),
    [
        (b' {"a": [1e999, {"b": 1}]} ', {"a": msgspec.Raw(b'[1e999, {"b": 1}]')}),
        (b'{"a": 1e999, "b": "\xff"}', {"a": "1e999", "b": '"\ufffd"'}),
        (b'{"a": 123456789012345678901234567890}', {"a": 123456789012345678901234567890}),
        (b"[1]", msgspec.Raw(b"[1]")),
    ],
)
def test_lists_are_not_opened_and_every_number_is_read(body: bytes, document: object) -> None:
    def plain(value: object) -> object:
        return bytes(value) if isinstance(value, msgspec.Raw) else value

    opened = open_document(body)
    if isinstance(document, dict):
        assert {name: plain(value) for name, value in opened.items()} == {
            n: plain(v) for n, v in document.items()
        }
    else:
        assert plain(opened) == plain(document)
