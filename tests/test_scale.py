"""docs/scale.md and docs/costs.md are what the arithmetic gives, and the arithmetic is about this code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sluice.config.job import Windows, option_fields
from sluice.errors import ConfigError
from sluice.eventlog.log import EventLog
from sluice.eventlog.minute_folders import MAX_CACHED_KEYS
from sluice.graph.segment_loader import DAY_LOAD_BYTES
from sluice.warehouses.bigquery.load_rate import check_rate

from benchmarks.scale.arithmetic import (
    FLUSHES,
    MAX_SHARDS,
    allowed_shards,
    append_requests,
    datasets_of,
    lists_a_minute,
    panes_a_minute,
    plan_of,
    shard_needs,
)
from benchmarks.scale.costs import month
from benchmarks.scale.inputs import read_inputs
from benchmarks.scale.measure import MINUTE, CountedStore, append_pane, lines_of, open_log
from benchmarks.scale.pages import pages

INPUTS = read_inputs()


@pytest.mark.parametrize("page", pages(INPUTS), ids=lambda page: page.name)
def test_page_has_the_tables_that_the_script_computes(page: Path) -> None:
    text = page.read_text("utf-8")
    blocks = pages(INPUTS)[page]
    shown = {name: f"<!-- {name}: begin -->\n{block}\n<!-- {name}: end -->" for name, block in blocks.items()}
    assert [name for name, block in shown.items() if block not in text] == [], (
        "python -m benchmarks.scale --write"
    )
    assert text.count(": begin -->") == len(blocks)


def test_text_has_the_limits_of_the_code() -> None:
    text = " ".join((Path(__file__).parents[1] / "docs/scale.md").read_text("utf-8").split())
    assert f"A folder of {MAX_SHARDS} shards, the most, has {MAX_SHARDS * panes_a_minute(10)} names" in text
    assert f"the {DAY_LOAD_BYTES >> 20} MiB that a batch job loads at once" in text
    assert f"a process keeps {MAX_CACHED_KEYS:,} deduplication keys" in text
    assert f"those of {MAX_CACHED_KEYS / 60 // 1000 * 1000:,.0f} events/s for a minute" in text
    assert f"{INPUTS.of('event_bytes') / 16:.0f} times smaller than its events" in text


def test_most_shards_are_those_of_a_job() -> None:
    (shards,) = (field for field in option_fields(Windows) if field.name == "shards")
    assert shards.metadata["parse"](MAX_SHARDS, "") == MAX_SHARDS
    with pytest.raises(ConfigError):
        shards.metadata["parse"](MAX_SHARDS + 1, "")


@pytest.mark.parametrize("flush", FLUSHES)
@pytest.mark.parametrize("types", [1, 3, 10])
def test_allowed_shards_are_those_with_which_a_job_starts(types: int, flush: int) -> None:
    shards = allowed_shards(types, flush)
    if shards:
        check_rate(types, shards, flush)
    with pytest.raises(ConfigError):
        check_rate(types, shards + 1, flush)


@pytest.mark.parametrize("shards", [1, 3])
def test_panes_of_a_minute_list_as_often_as_the_arithmetic_says(tmp_path: Path, shards: int) -> None:
    store = CountedStore(str(tmp_path))
    log = EventLog(store, open_log(store).type_logs, shards)
    for pane in range(panes_a_minute(10)):
        for shard in range(shards):
            log.append("order", MINUTE, shard, lines_of(100 * pane + 10 * shard, 5, 60))
    assert store.lists == lists_a_minute(INPUTS, shards, 10)
    assert (store.creates, store.reads) == (shards * panes_a_minute(10), 0)


def test_new_worker_reads_the_segments_of_its_folder_once(tmp_path: Path) -> None:
    store = CountedStore(str(tmp_path))
    log = open_log(store)
    log.open()
    first = append_pane(log, lines_of(0, 5, 60))
    assert first[:4] == (2, 0, 1, 0)  # the folder, and once in ten seconds the log's settings
    assert append_pane(log, lines_of(5, 5, 60))[:4] == (1, 0, 1, 0)
    other = open_log(store)
    assert append_pane(other, lines_of(10, 5, 60))[:4] == (1, 2, 1, 600)
    assert append_pane(other, lines_of(15, 5, 60))[:4] == (1, 0, 1, 0)


def test_folder_with_more_keys_than_the_cache_is_read_by_each_pane(tmp_path: Path) -> None:
    store = CountedStore(str(tmp_path))
    log = EventLog(store, open_log(store).type_logs, max_cached_keys=20)
    reads = [append_pane(log, lines_of(5 * pane, 5, 60)).reads for pane in range(5)]
    assert reads == [0, 0, 0, 3, 4]  # a pane has 5 keys, and the folder counts as 10


@pytest.mark.parametrize(
    ("events", "flush", "expected"),
    [
        (10_000, 10, (1, 1, 1)),
        (1_000_000, 10, (1, 1, 2)),
        (10_000_000, 10, (3, 5, 20)),
        (10**7, 60, (3, 29, 20)),
    ],
)
def test_shards_that_a_minute_needs(events: int, flush: int, expected: tuple[int, int, int]) -> None:
    assert shard_needs(INPUTS, events, flush) == expected


def test_job_that_load_jobs_do_not_suffice_for_is_planned_with_appends() -> None:
    plans = [plan_of(INPUTS, rate) for rate in (10_000, 1_000_000)]
    assert [(plan.method, plan.flush, plan.shards) for plan in plans] == [
        ("load", 10, 1),
        ("storage_write", 20, 40),
    ]
    assert [datasets_of(INPUTS, plan) for plan in plans] == [1, 2]
    assert [month(INPUTS, plan)["write"] > 0 for plan in plans] == [False, True]


def test_appends_of_a_segment_stay_below_the_size_of_a_request() -> None:
    assert [append_requests(INPUTS, rows) for rows in (1, 19_230, 19_231, 100_000)] == [1, 1, 2, 8]


def test_price_is_an_input() -> None:
    plan = plan_of(INPUTS, 10_000)
    twice = replace(INPUTS.prices["pubsub"], usd=80)
    dearer = replace(INPUTS, prices={**INPUTS.prices, "pubsub": twice})
    assert month(dearer, plan)["pubsub"] == 2 * month(INPUTS, plan)["pubsub"]
