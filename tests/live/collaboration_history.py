"""Hostile histories of a collaboration platform: everything that its rules allow, and all kinds of broken records."""

from __future__ import annotations

import copy
import gzip
import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

Record = dict[str, Any]

USERS = ("u1", "u2", "U1", "ü", "u10", "Z", "é-user", "u-3", "u_3", "名")
SILENT = ("m1", "m2", "M1")
"""Users who are only mentioned, or whom documents are shared with."""
DOCUMENTS = ("d1", "D1", "d-2", "d_2", "d10", "ä", "Ω", "doc/7", "d 8", "d'9", "😀", "￿", "zz")
SESSIONS = ("s1", "s2", "S1", None, ...)
EMAILS = (
    "Ada@Example.com",
    "  bo@example.com\t",
    "no address",
    "",
    None,
    "ÉVA@EXAMPLE.ORG",
    "\u00a0x@y\u3000",
    "@",
)
NAMES = ("Ada", "  Bo  ", "", "   ", None, "Zoë\u00a0", "\t", "O'Neil")
TITLES = ("Plan", " ", "", "Plan B", "  padded ", "Überblick", None, "a\nb")
ZONES = (timedelta(hours=5, minutes=30), timedelta(hours=-8), timedelta(0), timedelta(hours=14))
START = datetime(2026, 2, 27, 20, 0, tzinfo=UTC)
GARBAGE = (
    b'{"event_id": "',
    b"nonsense",
    b"[1, 2]",
    b"null",
    b'"text"',
    b"17",
    b"\xff\xfe{}",
    b'{"a": NaN}',
    b"   ",
)


class History:
    """Makes records; the same seed makes the same ones."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = START

    def uuid(self) -> str:
        digits = f"{self.random.getrandbits(128):032x}"
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    def time(self, moment: datetime) -> str:
        style = self.random.randrange(6)
        if style == 0:
            return moment.replace(tzinfo=None).isoformat(timespec="microseconds")
        if style == 1:
            return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return moment.astimezone(timezone(self.random.choice(ZONES))).isoformat()

    def user(self) -> Record:
        user: Record = {"user_id": self.random.choice(USERS)}
        if self.random.random() < 0.5:
            user["email"] = self.random.choice(EMAILS)
        if self.random.random() < 0.5:
            user["name"] = self.random.choice(NAMES)
        return user

    def step(self) -> datetime:
        """Return the next moment: often the same one, or exactly half an hour later."""
        gaps = (0, 0, 0.001, 1, 17.25, 600, 1799.999, 1800, 1800.001, 4000, 30000)
        self.now += timedelta(seconds=self.random.choice(gaps))
        return self.now

    def event(self) -> Record:
        kinds = (login, logout, created, edit, edit, edit, comment, shared)
        event_type, data = self.random.choice(kinds)(self.random)
        record: Record = {
            "event_id": self.uuid(),
            "event_type": event_type,
            "timestamp": self.time(self.step()),
            "user": self.user(),
            "data": data,
        }
        session = self.random.choice(SESSIONS)
        if session is not ...:
            record["session_id"] = session
        if self.random.random() < 0.2:
            record |= {"version": 2, "trace": {"id": [1, {"x": None}]}}
            record["user"]["team"] = {"name": "a"}
            record["data"]["unknown"] = [{"deep": 1.50}]
        return record

    def repeat(self, record: Record) -> Record:
        """Return the event once more: as it is, at another time, as another type, or with other content."""
        again = copy.deepcopy(record)
        style = self.random.randrange(5)
        moment = datetime.fromisoformat(again["timestamp"])
        if style == 1 and moment.tzinfo is not None:
            again["timestamp"] = moment.astimezone(timezone(timedelta(hours=3))).isoformat()
        if style == 2:
            later = moment + timedelta(seconds=self.random.choice((1, 3600, 200_000)))
            again["timestamp"] = later.isoformat()
        if style == 3:
            again |= {"event_type": "user_logout", "data": {}}
        if style == 4:
            again["user"]["user_id"] = self.random.choice(USERS)
        return dict(sorted(again.items())) if style == 0 else again

    def records(self, size: int) -> list[bytes]:
        """Return records in any order of time."""
        events = [self.event() for _ in range(size)]
        events[0]["timestamp"] = "1970-01-01T00:00:00Z"  # a clock that was never set
        records = [self.dumps(event) for event in events]
        records += [self.dumps(self.repeat(self.random.choice(events))) for _ in range(size // 8)]
        for change in BREAKAGES:
            broken = copy.deepcopy(self.random.choice(events))
            change(broken)
            records.append(self.dumps(broken))
        for event_type, path, value in BROKEN_VALUES:
            candidates = [event for event in events if event["event_type"] == event_type]
            broken = copy.deepcopy(self.random.choice(candidates))
            assign(broken["data"], path, value)
            records.append(self.dumps(broken))
        self.random.shuffle(records)
        return records

    def dumps(self, value: Any) -> bytes:
        style = self.random.randrange(4)
        if style == 0:
            return json.dumps(value).encode()
        separators = (",", ":") if style == 1 else (" , ", ": ")
        return json.dumps(value, ensure_ascii=False, separators=separators).encode()

    def write(self, folder: Path, records: list[bytes], prefix: str = "") -> list[bytes]:
        """Write the records to files of every kind; return them with the garbage that is among them."""
        written = list(records)
        for index, kind in enumerate((lines, windows_lines, array, pretty, bare) * 2):
            share = records[index::10]
            if kind in (lines, windows_lines):
                share = [*share, *GARBAGE]
                self.random.shuffle(share)
                written += GARBAGE
            body = kind(share)
            path = folder / f"{prefix}{index % 3}/{'deep/' * (index % 2)}{prefix}part {index}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            is_packed = index >= 5
            path.with_suffix(".gz" if is_packed else ".json").write_bytes(
                gzip.compress(body) if is_packed else body
            )
        (folder / f"{prefix}empty.json").write_bytes(b"")
        return written


def login(random: random.Random) -> tuple[str, Record]:
    data: Record = {"method": random.choice(("password", "sso", "google"))}
    if random.random() < 0.5:
        data |= {"ip_address": "192.0.2.1", "device": {"platform": "web", "app_version": "1"}}
    return "user_login", data


def logout(random: random.Random) -> tuple[str, Record]:
    return "user_logout", random.choice(({}, {"reason": None}, {"reason": "timeout"}))


def created(random: random.Random) -> tuple[str, Record]:
    data: Record = {"document_id": random.choice(DOCUMENTS[:8]), "title": random.choice(TITLES) or ""}
    if random.random() < 0.5:
        data["word_count"] = random.choice((0, 1, 500))
    return "document_created", data


def edit(random: random.Random) -> tuple[str, Record]:
    changes = {"words_added": random.randrange(50), "words_removed": random.choice((0, 2**40))}
    data: Record = {"document_id": random.choice(DOCUMENTS), "changes": changes}
    if random.random() < 0.5:
        data["title"] = random.choice(TITLES)
    if random.random() < 0.5:
        data["word_count"] = random.choice((None, 0, 7, 1200))
    return "document_edit", data


def comment(random: random.Random) -> tuple[str, Record]:
    data: Record = {
        "document_id": random.choice(DOCUMENTS),
        "comment_id": "c1",
        "body": 'x\u2028"\\ \U0001f600',
    }
    if random.random() < 0.6:
        data["mentions"] = random.choices(USERS + SILENT, k=random.randrange(3))
        data["parent_comment_id"] = random.choice((None, "c0", ""))
    return "comment_added", data


def shared(random: random.Random) -> tuple[str, Record]:
    others: list[Record] = [
        {"user_id": user} for user in random.choices(USERS + SILENT, k=random.randrange(1, 4))
    ]
    for other in others:
        if random.random() < 0.5:
            other["email"] = random.choice(EMAILS) or ""
    permission = random.choice(("view", "comment", "edit"))
    return "document_shared", {
        "document_id": random.choice(DOCUMENTS),
        "permission": permission,
        "shared_with": others,
    }


def broken(event_type: str, path: str, *values: Any) -> list[tuple[str, str, Any]]:
    """Return event type, path in `data` and value of each breakage."""
    return [(event_type, path, value) for value in values]


def settings(key: str, *values: Any) -> list[Callable[[Record], None]]:
    """Return changes that set a property of a record to one of `values`, or remove it for `...`."""
    return [partial(assign, path=key, value=value) for value in values]


def assign(place: Any, path: str, value: Any) -> None:
    *steps, last = path.split(".")
    for step in steps:
        place = place[int(step)] if isinstance(place, list) else place[step]
    if value is ...:
        place.pop(last, None)
    elif isinstance(place, list):
        place[int(last)] = value
    else:
        place[last] = value


BREAKAGES: tuple[Callable[[Record], None], ...] = (
    *settings(
        "timestamp", "", "2026-03-01", "2026-02-30T10:00:00Z", "2026-03-01T10:00Z", 1772359200, None, ...
    ),
    *settings("timestamp", "2999-01-01T00:00:00Z", "9999-12-31T23:59:59", "yesterday"),
    *settings("event_id", "", "x", "0B0E3A7C-5D0A-4A52-9F0E-000000000001", 7, None, ...),
    *settings("event_type", "document_deleted", "User_Login", "", None, 3, ...),
    *settings("user", "u1", None, [], {}, {"user_id": 3}, {"user_id": ""}, ...),
    *settings("user.email", 3, {}, ["a@b"]),
    *settings("user.name", False),
    *settings("session_id", "", 5, {}),
    *settings("data", "", None, [], 0, ...),
)
BROKEN_VALUES: tuple[tuple[str, str, Any], ...] = (
    *broken("user_login", "method", "Password", "", None, 1, ...),
    *broken("user_login", "ip_address", None, 4),
    *broken("user_login", "device", None, {}, "web", {"platform": "tv"}, {"platform": None}),
    ("user_login", "device", {"platform": "web", "app_version": None}),
    *broken("user_logout", "reason", "crash", 1),
    *broken("document_created", "document_id", "", 5, None, ...),
    *broken("document_created", "title", None, 5, ...),
    *broken("document_created", "word_count", -1, 1.5, "1", None, True),
    *broken("document_edit", "document_id", "", 5, ...),
    *broken("document_edit", "changes", None, [], {}, {"words_added": 1}, ...),
    *broken("document_edit", "changes.words_added", -1, None, 2.5, "3"),
    ("document_edit", "title", 9),
    *broken("comment_added", "comment_id", "", 5, ...),
    *broken("comment_added", "body", None, 5, ...),
    *broken("comment_added", "mentions", None, "u1", [1], [None], [""]),
    *broken("document_shared", "permission", "own", None, ...),
    *broken("document_shared", "shared_with", [], None, {}, "u1", ["u1"], [{}], ...),
    *broken("document_shared", "shared_with.0.user_id", "", 5, None),
    *broken("document_shared", "shared_with.0.email", None, 5),
)


def lines(records: list[bytes]) -> bytes:
    return b"\xef\xbb\xbf" + b"\n\n".join(records)


def windows_lines(records: list[bytes]) -> bytes:
    return b"".join(record + b"\r\n" for record in records)


def array(records: list[bytes]) -> bytes:
    return b"[" + b",\n".join(records) + b"]"


def pretty(records: list[bytes]) -> bytes:
    return b"\n".join(json.dumps(json.loads(record), indent=2).encode() for record in records)


def bare(records: list[bytes]) -> bytes:
    return b"\n".join(records)
