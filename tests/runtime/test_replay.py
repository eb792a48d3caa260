"""Histories through the real command, against totals, files and rows that are worked out here, by hand."""

from __future__ import annotations

import gzip
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from decimal import Context, Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.runtime.replay_fixture import ROOT, TABLES, Replay, lines_of

SAMPLE = ROOT / "examples" / "backend_events"
START = datetime(2024, 12, 31, 23, 50, tzinfo=UTC)
CODES = (
    "not_json", "not_an_object", "unknown_type", "missing", "type", "format", "enum", "range", "in_future",
)  # fmt: skip
"""In the order in which one of several reasons names the letter."""

_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)?")


@pytest.fixture
def scratch() -> Iterator[Path]:
    with TemporaryDirectory(prefix="replay") as folder:
        yield Path(folder)


@pytest.fixture
def replay(tmp_path: Path, scratch: Path) -> Replay:
    return Replay(tmp_path / "out", scratch)


# The rules of the three events, by hand. Each checker returns the codes of what is wrong with a value.


def uuid(value: Any) -> set[str]:
    if not isinstance(value, str):
        return {"type"}
    return set() if _UUID.fullmatch(value) else {"format"}


def text(value: Any) -> set[str]:
    return set() if isinstance(value, str) else {"type"}


def one_of(*values: str) -> Any:
    return lambda value: text(value) or (set() if value in values else {"enum"})


def whole(low: int, high: int) -> Any:
    def check(value: Any) -> set[str]:
        if isinstance(value, bool) or not isinstance(value, int):
            return {"type"}
        return set() if low <= value <= high else {"range"}

    return check


def money(value: Any) -> set[str]:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return {"type"}
    scaled = Decimal(value).scaleb(9)
    return set() if scaled == int(scaled) and abs(scaled) < 10**38 else {"range"}


def moment(value: Any) -> set[str]:
    if not isinstance(value, str):
        return {"type"}
    try:
        return set() if _TIME.fullmatch(value) and instant(value) else {"format"}
    except ValueError:
        return {"format"}


def instant(value: str) -> datetime:
    time = datetime.fromisoformat(value)
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)


def all_of(rules: Mapping[str, Any]) -> Any:
    def check(value: Any) -> set[str]:
        if not isinstance(value, dict):
            return {"type"}
        missing = {"missing" for name in rules if value.get(name) is None}
        given = (rule(value[name]) for name, rule in rules.items() if value.get(name) is not None)
        return missing.union(*given)

    return check


def each(rule: Any) -> Any:
    def check(value: Any) -> set[str]:
        if not isinstance(value, list):
            return {"type"}
        return set().union(*({"missing"} if item is None else rule(item) for item in value))

    return check


ITEM = {"product_id": uuid, "product_name": text, "quantity": whole(-(2**63), 2**63 - 1), "price": money}
RULES: dict[str, dict[str, Any]] = {
    "order": {
        "order_id": uuid,
        "customer_id": uuid,
        "order_date": moment,
        "status": one_of("pending", "processing", "shipped", "delivered"),
        "items": each(all_of(ITEM)),
        "shipping_address": all_of({"street": text, "city": text, "country": text}),
        "total_amount": money,
    },
    "inventory": {
        "inventory_id": uuid,
        "product_id": uuid,
        "warehouse_id": uuid,
        "quantity_change": whole(-100, 100),
        "reason": one_of("restock", "sale", "return", "damage"),
        "timestamp": moment,
    },
    "user_activity": {
        "user_id": uuid,
        "activity_type": one_of("login", "logout", "view_product", "add_to_cart", "remove_from_cart"),
        "ip_address": text,
        "user_agent": text,
        "timestamp": moment,
        "metadata": all_of({"session_id": uuid, "platform": one_of("web", "mobile", "tablet")}),
    },
}
TIMES = {"order": "order_date", "inventory": "timestamp", "user_activity": "timestamp"}


def judge(record: bytes) -> tuple[str, str | None, Any]:
    """Return event type or `unknown`, the code if it is rejected, and the value."""
    try:
        value = json.loads(record.decode(), parse_float=Decimal, parse_constant=int)
    except ValueError:
        return "unknown", "not_json", None
    if not isinstance(value, dict):
        return "unknown", "not_an_object", value
    kind = value.get("event_type")
    if not isinstance(kind, str) or kind not in RULES:
        return "unknown", "unknown_type", value
    codes = all_of(RULES[kind])(value)
    if not codes and instant(value[TIMES[kind]]).year > 2900:
        codes = {"in_future"}
    return kind, min(codes, key=CODES.index) if codes else None, value


@dataclass
class Truth:
    """What must come of records, in the order in which they were sent."""

    lines: dict[str, list[bytes]] = field(default_factory=dict)
    """`type/YYYY/MM/DD/HH/MM` -> the lines of its file."""
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {kind: [] for kind in RULES})
    figures: Counter[tuple[str, str]] = field(default_factory=Counter)
    letters: list[tuple[str, bytes]] = field(default_factory=list)
    seen: set[bytes] = field(default_factory=set)

    def add(self, record: bytes, line: bytes | None = None) -> None:
        """Take one record, which is stored as `line` if that differs."""
        kind, code, value = judge(record)
        line = record if line is None else line
        self.figures["read", kind] += 1
        if code is not None:
            self.letters.append((code, record))
            self.figures["rejected", kind] += 1
        elif line in self.seen:
            self.figures["duplicates", kind] += 1
        else:
            self.seen.add(line)
            self.figures["accepted", kind] += 1
            self.lines.setdefault(f"{kind}/{instant(value[TIMES[kind]]):%Y/%m/%d/%H/%M}", []).append(line)
            self.rows[kind].append(value)

    def figure(self, name: str) -> int:
        return sum(number for (figure, _), number in self.figures.items() if figure == name)

    def log(self) -> dict[str, bytes]:
        """Return the files of one clean run."""
        files = {}
        for folder, lines in self.lines.items():
            kind, _, time = folder.partition("/")
            files[f"{folder}/{kind}_{time.replace('/', '')}0001.json"] = b"\n".join([*lines, b""])
        return files

    def counts(self) -> Counter[tuple[str, datetime]]:
        """Return event type and start of a 10-second window -> events."""
        counted: Counter[tuple[str, datetime]] = Counter()
        for kind, rows in self.rows.items():
            for row in rows:
                time = instant(row[TIMES[kind]])
                counted[kind, time.replace(second=time.second // 10 * 10, microsecond=0)] += 1
        return counted


class Shop:
    """Makes events and breaks them; everything comes of the seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def uuid(self) -> str:
        digits = f"{self.random.getrandbits(128):032x}"
        shown = f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
        return self.random.choice((shown, shown.upper()))

    def time(self) -> str:
        late = self.random.choice((0,) * 20 + (-86_400 * 400, 3600))
        at = START + timedelta(seconds=self.random.randrange(1200) + late)
        if self.random.random() < 0.2:  # right on the edges of minutes and windows
            at = at.replace(second=at.second // 10 * 10, microsecond=0) - timedelta(
                microseconds=self.random.randrange(2)
            )
        else:
            at += timedelta(microseconds=self.random.randrange(1_000_000))
        style = self.random.randrange(5)
        if style == 0:
            return at.astimezone(
                timezone(timedelta(minutes=self.random.randrange(-14 * 60, 14 * 60)))
            ).isoformat()
        if style == 1:
            return at.replace(tzinfo=None).isoformat(" ")
        return at.isoformat().replace("+00:00", "Z")

    def event(self) -> dict[str, Any]:
        choose = self.random.choice
        kind = choose(tuple(RULES))
        makers: dict[str, Callable[[], dict[str, Any]]] = {
            "order": lambda: {
                "order_id": self.uuid(),
                "customer_id": self.uuid(),
                "order_date": self.time(),
                "status": choose(("pending", "processing", "shipped", "delivered")),
                "items": [self.item() for _ in range(self.random.randrange(4))],
                "shipping_address": {
                    "street": "Ķekavas iela 1",
                    "city": choose(("Rīga", "Köln", "東京")),
                    "country": "x",
                },
                "total_amount": self.random.randrange(10**6) / 100,
            },
            "inventory": lambda: {
                "inventory_id": self.uuid(),
                "product_id": self.uuid(),
                "warehouse_id": self.uuid(),
                "quantity_change": self.random.randrange(-100, 101),
                "reason": choose(("restock", "sale", "return", "damage")),
                "timestamp": self.time(),
            },
            "user_activity": lambda: {
                "user_id": self.uuid(),
                "activity_type": choose(
                    ("login", "logout", "view_product", "add_to_cart", "remove_from_cart")
                ),
                "ip_address": "10.0.0.1",
                "user_agent": choose(("", 'a "b" \\ c', "line\nfeed", "\u2028\u0000😀")),
                "timestamp": self.time(),
                "metadata": {"session_id": self.uuid(), "platform": choose(("web", "mobile", "tablet"))},
            },
        }
        event = {"event_type": kind, **makers[kind]()}
        if self.random.random() < 0.1:
            event |= {"schema": 2, "trace": {"id": "é", "n": [1.10, None, {"a\n": True}]}}
        if self.random.random() < 0.1:
            event = dict(self.random.sample(list(event.items()), len(event)))
        return event

    def item(self) -> dict[str, Any]:
        price = self.random.choice((0, 7, 19.99, 0.000000001, 12345678901234567890123456789))
        return {
            "product_id": self.uuid(),
            "product_name": "p",
            "quantity": self.random.randrange(9),
            "price": price,
        }

    def broken(self) -> Any:
        """Return an event with one to three values that are mostly wrong."""
        event = self.event()
        for _ in range(self.random.randrange(1, 4)):
            place, key = self.place(event)
            if isinstance(place, dict) and self.random.random() < 0.3:
                del place[key]
                if not place:
                    break
            else:
                place[key] = self.random.choice(
                    (None, True, 7, -101, 10**20, 1.5, "", "x", "sale", [], [None], {}, {"a": 1}, 1e-10,
                     "2025-02-30T00:00:00Z", "2999-01-01T00:00:00Z", "2025-02-08T13:09:00+25:00", 10**29)
                )  # fmt: skip
            if not event:
                break
        return event

    def place(self, event: dict[str, Any]) -> tuple[Any, Any]:
        """Return an object or array somewhere in `event`, and a key or index of it."""
        place: Any = event
        while True:
            key = self.random.choice(list(place) if isinstance(place, dict) else range(len(place)))
            if not isinstance(place[key], dict | list) or not place[key] or self.random.random() < 0.5:
                return place, key
            place = place[key]

    def record(self) -> bytes:
        chance = self.random.random()
        if chance < 0.75:
            return dumps(self.event())
        if chance < 0.95:
            return dumps(self.broken())
        good = dumps(self.event())
        return self.random.choice(
            (good[:-1], good + b"}", good.replace(b'"', b"'"), b"\xff" + good, good.replace(b":", b":\x00", 1), b"[]",
             b"null", b"7", b'"order"', b"true", b" ", b"{}", b'{"event_type":"Order"}', b'{"event_type":null}', b"NaN")
        )  # fmt: skip


def dumps(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def write_history(
    folder: Path, shop: Shop, size: int, old: Sequence[bytes] = ()
) -> tuple[Truth, list[bytes]]:
    """Write lines, packed lines and a document; return what must come of them, and the records."""
    folder.mkdir()
    truth = Truth()
    sent: list[bytes] = [*old]

    def records(share: int) -> Iterator[bytes]:
        for _ in range(share):
            sent.append(shop.random.choice(sent) if sent and shop.random.random() < 0.1 else shop.record())
            yield sent[-1]

    lines = list(records(size // 2))
    blanks = [shop.random.choice((b"\n", b"\n", b"\n", b"\n\n", b"\n\r\n")) for _ in lines]
    (folder / "a.ndjson").write_bytes(b"".join(map(b"%b%b".__mod__, zip(lines, blanks, strict=True)))[:-1])
    packed = [record + shop.random.choice((b"", b"\r")) for record in records(size // 4)]
    members = [packed[: size // 8], packed[size // 8 :]]
    (folder / "b").write_bytes(b"".join(gzip.compress(b"\n".join([*each_, b""])) for each_ in members))
    for record in (*lines, *packed):
        truth.add(record)
    elements = []
    for record in records(size // 4):
        try:
            value = json.loads(record)
        except ValueError:
            continue
        pretty = shop.random.random() < 0.3
        elements.append(json.dumps(value, indent=1, ensure_ascii=False).encode() if pretty else dumps(value))
        truth.add(elements[-1], dumps(value))
    (folder / "c.json").write_bytes(b" [ \n" + b" ,\n".join(elements) + b"]\n")
    return truth, sent


def matches(replay: Replay, truth: Truth) -> None:
    """Compare letters and tables with the truth."""
    stored = [(letter["code"], payload(letter)) for letter in replay.letters()]
    assert Counter(stored) == Counter(truth.letters)
    loaded = replay.sql("select code, payload, payload_base64 from dead_letters")
    assert Counter(
        (code, payload({"payload": text_, "payload_base64": packed})) for code, text_, packed in loaded
    ) == (Counter(truth.letters))
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


def payload(letter: Mapping[str, Any]) -> bytes:
    import base64

    if letter.get("payload") is not None:
        return str(letter["payload"]).encode()
    return base64.b64decode(letter["payload_base64"])


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


def shown(value: Any) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else str(value)


def expected_row(event: dict[str, Any]) -> dict[str, Any]:
    kind = event["event_type"]
    row: dict[str, Any] = {name: event[name] for name in RULES[kind]}
    extra = {name: value for name, value in event.items() if name not in row and name != "event_type"}
    row[TIMES[kind]] = shown(instant(row[TIMES[kind]]))
    for name, rule in RULES[kind].items():
        row[name] = row[name].lower() if rule is uuid else row[name]
    if kind == "order":
        row["total_amount"] = nine(row["total_amount"])
        row["items"] = [
            {"product_id": item["product_id"].lower(), "product_name": item["product_name"],
             "quantity": item["quantity"], "price": nine(item["price"])} for item in row["items"]
        ]  # fmt: skip
        row["shipping_address"] = {
            name: row["shipping_address"][name] for name in ("street", "city", "country")
        }
    if kind == "user_activity":
        session, platform = row["metadata"]["session_id"], row["metadata"]["platform"]
        row["metadata"] = {"session_id": session.lower(), "platform": platform}
    return {**row, "_extra": json.loads(json.dumps(extra, default=str)) if extra else None}


def nine(number: int | Decimal) -> str:
    return format(Decimal(number).quantize(Decimal("1e-9"), context=Context(prec=60)), "f")


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
    assert made["rejections"] == Counter(code for code, _ in truth.letters)
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
    log, letters, tables = replay.log(), replay.log(letters=True), replay.tables()
    inodes = [(path, path.stat().st_ino) for path in sorted(replay.folder.rglob("*.parquet"))]

    replay.run(SAMPLE / "history" / "*")
    read, rejected = expected["read"], expected["rejected"]
    assert replay.figures() == (read, 0, read - rejected, rejected, 0, 0)
    assert (replay.log(), replay.log(letters=True), replay.tables()) == (log, letters, tables)
    assert [(path, path.stat().st_ino) for path in sorted(replay.folder.rglob("*.parquet"))] == inodes


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
    assert (replay.log(), replay.log(letters=True)) == ({}, {})
    assert replay.tables() == {name: [] for name in (*TABLES.values(), "dead_letters", "event_counts")}


def test_history_of_only_rejected_records_succeeds(replay: Replay, tmp_path: Path) -> None:
    records = [b"%d {" % number for number in range(5000)]
    (tmp_path / "in").write_bytes(b"\n".join(records))
    replay.run(tmp_path / "in")
    assert replay.figures() == (5000, 0, 0, 5000, 0, 0)
    assert [payload(letter) for letter in replay.letters()] == records
    assert {letter["source"]["offset"] for letter in replay.letters()} == {
        sum(len(record) + 1 for record in records[:index]) for index in range(5000)
    }
