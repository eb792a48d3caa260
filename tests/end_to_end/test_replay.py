"""Histories through the real command, against totals, files and rows that are worked out here, by hand."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from devservers.live_job import TABLES
from devservers.tools import ROOT
from tests.end_to_end.expected_history import RULES, TIMES, Truth, expected_row, instant, shown
from tests.end_to_end.random_history import Shop, write_history
from tests.end_to_end.replay_fixture import Replay, lines_of

SAMPLE = ROOT / "examples" / "backend_events"


def matches(replay: Replay, truth: Truth) -> None:
    """Compare dead letters and tables with the truth."""
    stored = [(dead_letter["code"], payload(dead_letter)) for dead_letter in replay.stored_dead_letters()]
    assert Counter(stored) == Counter(truth.dead_letters)
    loaded = replay.sql("select code, payload, payload_base64 from dead_letters")
    assert Counter(
        (code, payload({"payload": text_, "payload_base64": packed})) for code, text_, packed in loaded
    ) == (Counter(truth.dead_letters))
    for kind, table in TABLES.items():
        names = [*RULES[kind], "_extra"]
        quoted = ", ".join(f'"{name}"' for name in names)
        rows = [
            plain(dict(zip(names, row, strict=True))) for row in replay.sql(f"select {quoted} from {table}")
        ]
        assert sorted(rows, key=repr) == sorted(map(expected_row, truth.rows[kind]), key=repr)
        identities, days = replay.sql(
            f"select count(distinct _event_id), count(*) filter (event_date = cast(timezone('UTC', "
            f'"{TIMES[kind]}") as date)) from {table}'
        )[0]
        assert (identities, days) == (len(rows), len(rows))
    counts = replay.sql("select event_type, window_start, window_end, events from event_counts")
    assert {(kind, start): events for kind, start, _, events in counts} == truth.counts()
    assert {end - start for _, start, end, _ in counts} == {timedelta(seconds=10)}


def payload(dead_letter: Mapping[str, Any]) -> bytes:
    import base64

    if dead_letter.get("payload") is not None:
        return str(dead_letter["payload"]).encode()
    return base64.b64decode(dead_letter["payload_base64"])


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as `expected_row` writes it."""
    extra = row.pop("_extra")
    plain_row: dict[str, Any] = json.loads(json.dumps(row, default=shown))
    return {
        **plain_row,
        "_extra": None
        if extra is None
        else json.loads(extra, parse_float=lambda digits: str(Decimal(digits))),
    }


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_generated_history_gives_the_computed_files_rows_counts_and_dead_letters(
    replay: Replay, tmp_path: Path, seed: int
) -> None:
    truth, _ = write_history(tmp_path / "in", Shop(seed), 4000)
    replay.run(tmp_path / "in")
    assert replay.log() == truth.log()
    matches(replay, truth)
    made = replay.report()
    names = ("accepted", "duplicates", "rejected")
    accepted, duplicates, rejected = (truth.figure(name) for name in names)
    assert replay.figures() == (truth.figure("read"), accepted, duplicates, rejected, accepted, 0)
    assert made["rejections"] == Counter(code for code, _ in truth.dead_letters)
    assert made["segments"] == len(truth.log())
    assert {kind: tuple(figures[name] for name in names) for kind, figures in made["by_type"].items()} == {
        kind: tuple(truth.figures[name, kind] for name in names) for kind in (*RULES, "unknown")
    }
    times = [instant(row[TIMES[kind]]) for kind, rows in truth.rows.items() for row in rows]
    assert (instant(made["first_event_time"]), instant(made["last_event_time"])) == (min(times), max(times))


def test_sample_history_gives_the_expected_figures_and_rerun_changes_nothing(replay: Replay) -> None:
    expected = json.loads((SAMPLE / "expected.json").read_bytes())
    replay.run(SAMPLE / "history" / "*")
    made = replay.report()
    assert {name: made[name] for name in expected if name != "by_type"} == {
        name: expected[name] for name in expected if name != "by_type"
    }
    assert {
        kind: {name: made["by_type"][kind][name] for name in row} for kind, row in expected["by_type"].items()
    } == (expected["by_type"])
    log, dead_letters, tables = replay.log(), replay.log(dead_letters=True), replay.tables()
    inodes = {path: path.stat().st_ino for path in replay.folder.rglob("*.parquet")}

    replay.run(SAMPLE / "history" / "*")
    read, rejected = expected["read"], expected["rejected"]
    assert replay.figures() == (read, 0, read - rejected, rejected, 0, 0)
    assert (replay.log(), replay.log(dead_letters=True), replay.tables()) == (log, dead_letters, tables)
    after = {path: path.stat().st_ino for path in replay.folder.rglob("*.parquet")}
    # A run always adds its manifest, which is one segment.
    new = sorted(path.parent.parent.name for path in after.keys() - inodes.keys())
    assert (inodes.items() <= after.items(), new) == (True, ["_segments", "source_files"])


def test_two_clean_runs_write_identical_bytes(replay: Replay, tmp_path: Path, scratch: Path) -> None:
    truth, _ = write_history(tmp_path / "in", Shop(4), 3000)
    other = Replay(tmp_path / "other", scratch)
    replay.run(tmp_path / "in")
    other.run(tmp_path / "in")
    assert replay.log() == other.log() == truth.log()
    assert replay.state() == other.state()


def test_second_history_adds_files_and_overwrites_none(replay: Replay, tmp_path: Path) -> None:
    shop = Shop(5)
    first, sent = write_history(tmp_path / "one", shop, 2000)
    second, _ = write_history(tmp_path / "two", shop, 2000, old=sent)
    replay.run(tmp_path / "one")
    before, rows = replay.log(), replay.tables()
    replay.run(tmp_path / "two")
    after = replay.log()
    assert before == {name: data for name, data in after.items() if name in before}
    added = {name: set(lines_of(data)) for name, data in after.items() if name not in before}
    old = set().union(*map(lines_of, first.log().values()))
    new = {folder: set(lines) - old for folder, lines in second.lines.items()}
    assert {name.rpartition("/")[0]: lines for name, lines in added.items()} == {
        folder: lines for folder, lines in new.items() if lines
    }
    assert {name[-9:-5] for name in added} == {"0001", "0002"}
    accepted = sum(map(len, new.values()))
    rejected = second.figure("rejected")
    assert replay.figures() == (
        second.figure("read"), accepted, second.figure("read") - accepted - rejected, rejected, accepted, 0,
    )  # fmt: skip
    tables = replay.tables()
    for name in (*TABLES.values(), "dead_letters"):
        assert not Counter(map(repr, rows[name])) - Counter(map(repr, tables[name]))
    assert sum(len(tables[table]) for table in TABLES.values()) == first.figure("accepted") + accepted
    counted: Counter[tuple[str, datetime]] = first.counts()
    for line in set().union(*added.values()):
        event = json.loads(line)
        time = instant(event[TIMES[event["event_type"]]])
        counted[event["event_type"], time.replace(second=time.second // 10 * 10, microsecond=0)] += 1
    assert {(kind, start): events for kind, start, _, events in tables["event_counts"]} == counted


def test_new_warehouse_loaded_from_the_log_has_the_same_rows(replay: Replay, tmp_path: Path) -> None:
    truth, _ = write_history(tmp_path / "in", Shop(6), 2000)
    replay.run(tmp_path / "in")
    rows = replay.tables("_ingested_at")
    replay.warehouse = tmp_path / "rebuilt.duckdb"
    replay.run("nothing", command="load")
    assert replay.tables("_ingested_at") == rows
    matches(replay, truth)
    made = replay.report()
    assert (made["backfilled"], made["read"]) == (truth.figure("accepted"), 0)
    assert replay.figures() == (0, 0, 0, 0, 0, 0)
    replay.run("nothing", command="load")
    assert replay.report()["backfilled"] == 0
    assert replay.tables("_ingested_at") == rows


def test_shards_take_disjoint_numbers_of_a_minute(replay: Replay, tmp_path: Path) -> None:
    truth, _ = write_history(tmp_path / "in", Shop(7), 2000)
    replay.run(tmp_path / "in", "--windows.shards=4")
    events = {folder: Counter(lines) for folder, lines in truth.lines.items()}
    assert replay.events() == events
    assert {name[-9:-5] for name in replay.log()} == {"0001", "0002", "0003", "0004"}
    matches(replay, truth)
    log = replay.log()
    replay.run(tmp_path / "in", "--windows.shards=4")
    assert replay.log() == log
    assert replay.figures()[1:3] == (0, truth.figure("accepted") + truth.figure("duplicates"))


def test_many_small_files_are_read_as_one_history(replay: Replay, tmp_path: Path) -> None:
    shop, truth = Shop(8), Truth()
    for number in range(3000):
        record = shop.record()
        truth.add(record)
        (tmp_path / f"{number:04d}.json").write_bytes(record + b"\n7")
        truth.add(b"7")
    replay.run(tmp_path / "*.json")
    assert replay.log() == truth.log()
    matches(replay, truth)


def test_empty_files_and_blank_lines_contain_no_records(replay: Replay, tmp_path: Path) -> None:
    for name, data in {
        "a": b"",
        "b": b"\n\n\r\n",
        "c": b"[]",
        "d": gzip.compress(b""),
        "e": b"\xef\xbb\xbf[ ]",
    }.items():
        (tmp_path / name).write_bytes(data)
    replay.run(tmp_path / "[a-e]")
    assert replay.figures() == (0, 0, 0, 0, 0, 0)
    assert (replay.log(), replay.log(dead_letters=True)) == ({}, {})
    assert replay.tables() == {name: [] for name in (*TABLES.values(), "dead_letters", "event_counts")}


def test_history_of_only_rejected_records_fails_and_keeps_them(replay: Replay, tmp_path: Path) -> None:
    records = [b"%d {" % number for number in range(5000)]
    (tmp_path / "in").write_bytes(b"\n".join(records))
    assert replay.run(tmp_path / "in", code=1).err == (
        "sluice: backend_events: all 5,000 records were rejected: no event was added; "
        f"the dead letters in {replay.dead_letters} have the reasons\n"
    )
    assert replay.figures() == (5000, 0, 0, 5000, 0, 0)
    assert [payload(dead_letter) for dead_letter in replay.stored_dead_letters()] == records
    assert {dead_letter["source"]["offset"] for dead_letter in replay.stored_dead_letters()} == {
        sum(len(record) + 1 for record in records[:index]) for index in range(5000)
    }
