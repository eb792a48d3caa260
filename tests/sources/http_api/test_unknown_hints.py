"""Where no known convention leads on, whatever may say that there is more is found, under any of many names."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sluice.sources.http_api.pages import Page
from sluice.sources.http_api.records import parse_body
from sluice.sources.http_api.unknown_hints import claim_of, describes_page, find_unknown_hint

from tests.growth import LINEAR, growth_of_cpu_time
from tests.sources.http_api.api_fixture import EVENTS, error_of, ok

URL = "https://shop.example/logs"
TEN = EVENTS[:10]


def hint_of(members: dict[str, Any], query: str = "", records: Any = TEN) -> tuple[str, object] | None:
    answer = json.dumps({"data": records, **members}).encode()
    return find_unknown_hint(parse_body(answer, False, None, None), Page(URL + query, answer))


def words(text: str, value: Any) -> list[tuple[str, Any]]:
    return [(name, value) for name in text.split()]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *words("hasAnotherPage another_page more_to_come moreToFollow has_following isPartial partial", True),
        *words("limit_reached sizeLimitExceeded overflow has_older canLoadMore load_more paginated capped", True),
        *words("has_more hasNext more truncated partial_results", "yes"),
        *words("has_more hasMore more_available", 1),
        *words("end eof isEnd endOfList end_of_results endReached lastBatch allLoaded listComplete ended", False),
        *words("isLast last_page done", "no"),
        *words("after since_id max_id lastKey last_id exclusiveStartKey startAfter resume_from position", "a1"),
        *words("pagingState page_state queryLocator iterator older forward_link page_key seek_key more", "a1"),
        *words("max_id last_id since_id resumeAt", 77),
        *words("remaining left records_remaining rowsLeft pages_left omitted not_shown more_count", 3),
        *words("num_results number_of_items eventCount entries_count matches found matched total_available", 25),
        *words("filteredCount collectionSize available length countTotal opensearch:totalResults of", 25),
        *words("docs_found overall resultSize totalRecordsCount count_all grandTotal numRecords", 25),
        *words("total count", 25.0),
        *words("total found matches", "1,025"),
        *words("total resultCount", "1000+"),
        *words("max_page n_pages lastPageIndex no_of_pages batches chunks parts totalBatches", 3),
        *words("page showing range display", "1 of 3"),
        ("range", "0-9/25"),
        ("showing", "1–10 of 25"),
        ("siguiente", "?page=2"),
        ("weiter", URL + "?from=10"),
        ("x", "/logs?p=2"),
        ("limit", 10),
        ("maxResults", 10),
    ],
)  # fmt: skip
def test_member_that_may_lead_on_is_named(name: str, value: Any) -> None:
    expected = f'"{name}"' if ":" in name and "." in name else name
    assert hint_of({name: value}) == (expected, value)


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"pages": {"current": 1, "total": 3}}, "pages.total"),
        ({"chunk": {"index": 0, "of": 3}}, "chunk.of"),
        ({"summary": {"total": 25}}, "summary.total"),
        ({"stats": {"matched": 25}}, "stats.matched"),
        ({"totals": {"records": 25}}, "totals.records"),
        ({"total": {"value": 25, "relation": "gte"}}, "total.value"),
        ({"navigation": {"more": True}}, "navigation.more"),
        ({"state": {"count": {"total": 25}}}, "state.count.total"),
        ({"pages": ["?page=1", "?page=2"]}, "pages.0"),
        ({"links": {"self": "?page=1", "last": "?page=3"}}, "links.last"),
        ({"links": [{"rel": "self", "href": "?p=1"}, {"rel": "last", "href": "?p=3"}]}, "links.1.last"),
        ({"more": {"from": 10}}, "more"),
    ],
)
def test_nested_member_that_may_lead_on_is_named(members: dict[str, Any], path: str) -> None:
    found = hint_of(members)
    assert found is not None
    assert found[0] == path


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"more": False, "partial": False, "end": True, "eof": True, "allLoaded": True},
        {"remaining": 0, "count": 10, "found": 10, "length": 10, "matches": 3, "pages": 1, "page": "1 of 1"},
        {"rate_limit_remaining": 4999, "quota_remaining": 12, "credits_left": 7, "request_id": "a1"},
        {"total_amount": 1000, "total_price": "1,025", "took": 25, "version": "2", "status": "ok"},
        {"after": None, "max_id": 0, "position": "", "resume": False, "older": None},
        {
            "prev": "?page=0",
            "self": "?page=1",
            "first": "?page=1",
            "last": "?page=1",
            "start": "/logs?page=1",
        },
        {"docs": "https://shop.example/docs?page=2", "other": "https://other.example/logs?page=2"},
        {"user": {"total": 900, "remaining": 5, "after": "x", "of": 25}},
        {"access_token": "x", "csrf_token": "x", "previous_id": "x", "sync_state": "x", "before": "x"},
        {"limit": 20, "per_page": 100, "page_size": "50", "size": 25, "max_results": 25},
        {"date": "10/2025", "ratio": "1/3"},
    ],
)
def test_answer_that_hints_at_nothing_is_all(members: dict[str, Any]) -> None:
    assert hint_of(members) is None


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?limit=10", ("limit", 10)),
        ("?per_page=10&x=1", ("per_page", 10)),
        ("?%24top=10", ("$top", 10)),
        ("?page%5Bsize%5D=10", ("page[size]", 10)),
        ("?limit=11", None),
        ("?limit=9", None),
        ("?user=10", None),
    ],
)
def test_page_as_full_as_the_query_allows_may_not_be_all(
    query: str, found: tuple[str, object] | None
) -> None:
    assert hint_of({}, query) == found


def test_value_that_the_query_sent_is_an_echo() -> None:
    assert hint_of({"since_id": "77", "after": "a1"}, "?since_id=77&after=a1") is None


def test_single_record_says_nothing_of_others() -> None:
    answer = b'{"user_id":"U1","remaining":3,"after":"x","of":25}'
    assert find_unknown_hint(parse_body(answer, False, None, None), Page(URL, answer)) is None


@pytest.mark.parametrize(
    ("value", "count"),
    [
        *[(value, 1025) for value in (1025, 1025.0, "1025", "1,025", "1 025", "1.025", "1'025", "1025+", "~1,025")],
        ("9" * 30, 10**18),
        *[(value, None) for value in (True, None, -1, 1.5, "-1", "a few", "", "٣", "9" * 201, float("nan"))],
    ],
)  # fmt: skip
def test_claims_are_read_in_any_style(value: object, count: int | None) -> None:
    assert claim_of(value) == count


def test_headers_that_describe_a_page() -> None:
    kept = "X-Page X-Per-Page X-Page-Token Sforce-Locator X-Remaining-Records X-Records-Left X-List-Count"
    other = "Content-Length X-RateLimit-Remaining X-Request-Id Age ETag X-Amz-Security-Token Date X-Size"
    assert [describes_page(name) for name in kept.split()] == [True] * 7
    assert [describes_page(name) for name in other.split()] == [False] * 8


def test_names_of_any_length_take_linear_time() -> None:
    def find(size: int) -> object:
        return hint_of({"total" * size: 25, "number" * size: "1 of " * size, "a" * size: "?" * size})

    assert growth_of_cpu_time(find, 20_000) < LINEAR


def test_unknown_hint_ends_the_run_with_what_to_set() -> None:
    message = (
        "expected the end or a known way to the next page, got {}; set #next=, #cursor= or #paging=, #paging=none if "
        "this is all, or #incomplete=warn"
    )
    assert error_of(lambda _: ok({"data": TEN, "records_remaining": 15})) == (
        f"URL: records_remaining: {message.format(15)}"
    )
    assert error_of(lambda _: ok(TEN, X_Page="1")) == (
        "URL: header:x-page: expected the end or a known way to the next page, got 1; set "
        "#paging=page, #paging=offset or, if there is one page, #paging=none"
    )
