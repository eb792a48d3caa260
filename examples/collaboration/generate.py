"""usage: python -m examples.collaboration.generate [FOLDER]: write the sample logs of a collaboration platform.

Everything is made from one seed, so each call writes the same: 45 days of a company of forty, in files of every kind,
with broken, repeated and future records. A user edits all night, for a day nobody logs in, and on another working day
nothing happens.
"""

from __future__ import annotations

import gzip
import json
import random
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

Event = dict[str, Any]

SEED = 20260216
START = datetime(2026, 2, 16, tzinfo=UTC)
DAYS = 45
QUIET_DAY, DAY_WITHOUT_LOGINS, BURST_DAY = 24, 31, 37
FIRST = ("Ada", "Bo", "Chiara", "Dagmar", "Émile", "Fatou", "Grace", "Håkon", "Ines", "Jānis")
LAST = ("Berg", "Costa", "Diallo", "Novák")
WORDS = ("Plan", "Budget", "Übersicht", "Minutes", "Roadmap", "Offer", "Review", "設計")


class Company:
    """Makes what its people do. Only `random.random` is asked, whose sequence no version of Python changes."""

    def __init__(self) -> None:
        """Hire forty people."""
        self._random = random.Random(SEED)
        names = [f"{first} {last}" for first in FIRST for last in LAST]
        self.people = [
            {"user_id": f"u{number:03}", "name": name, "email": f"{name.split()[0]}.{number}@Example.com"}
            for number, name in enumerate(names, start=1)
        ]
        self.documents: list[str] = []
        self.words: dict[str, int] = {}

    def number(self, low: int, high: int) -> int:
        """Return a whole number from `low` to `high`."""
        return low + int(self._random.random() * (high - low + 1))

    def pick(self, choices: Any) -> Any:
        """Return one of `choices`."""
        return choices[self.number(0, len(choices) - 1)]

    def uuid(self) -> str:
        """Return a version 4 UUID."""
        digits = "".join(f"{self.number(0, 65535):04x}" for _ in range(8))
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"

    def event(self, event_type: str, at: datetime, user: Event, session: str | None, data: Event) -> Event:
        """Make an event; every tenth client is in another time zone."""
        zone = timezone(timedelta(hours=-5)) if self.number(1, 10) == 1 else UTC
        time = at.astimezone(zone).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {
            "event_id": self.uuid(),
            "event_type": event_type,
            "timestamp": time,
            "user": dict(user),
            "session_id": session,
            "data": data,
        }

    def session(self, at: datetime, user: Event) -> Iterator[Event]:
        """Make a session: a login, some work, and mostly a logout."""
        session = self.uuid()[:8] if self.number(1, 12) > 1 else None
        method = self.pick(("password", "sso", "sso", "google"))
        device = {"platform": self.pick(("web", "desktop", "mobile")), "app_version": "7.2"}
        yield self.event("user_login", at, user, session, {"method": method, "device": device})
        for _ in range(self.number(2, 5)):
            at += timedelta(milliseconds=self.number(20_000, 900_000))
            yield self.work(at, user, session)
        if self.number(1, 3) > 1:
            at += timedelta(seconds=self.number(5, 60))
            yield self.event("user_logout", at, user, session, {"reason": self.pick(("manual", "timeout"))})

    def work(self, at: datetime, user: Event, session: str | None) -> Event:
        """Make an edit, or something rarer; one in thirty edits is of a document that no event created."""
        kind = self.number(1, 12)
        if kind == 1 or not self.documents:
            document = f"doc-{len(self.documents) + 1:04}"
            self.documents.append(document)
            self.words[document] = self.number(0, 300)
            title = f"{self.pick(WORDS)} {self.number(1, 99)}"
            data = {"document_id": document, "title": title, "word_count": self.words[document]}
            return self.event("document_created", at, user, session, data)
        document = self.pick(self.documents)
        if kind in (2, 3):
            data = {"document_id": document, "comment_id": self.uuid()[:8], "body": "What about the totals?"}
            data["mentions"] = [self.pick(self.people)["user_id"]] if self.number(1, 2) == 1 else []
            return self.event("comment_added", at, user, session, data)
        if kind == 4:  # noqa: PLR2004  one of twelve kinds
            other = {
                "user_id": f"guest-{self.number(1, 30)}",
                "email": f"Guest{self.number(1, 30)}@example.org",
            }
            data = {"document_id": document, "permission": self.pick(("view", "comment", "edit"))}
            return self.event("document_shared", at, user, session, {**data, "shared_with": [other]})
        return self.edit(at, user, session, document if self.number(1, 30) > 1 else "doc-imported")

    def edit(self, at: datetime, user: Event, session: str | None, document: str) -> Event:
        """Make an edit."""
        added, removed = self.number(0, 80), self.number(0, 20)
        words = max(0, self.words.get(document, 0) + added - removed)
        self.words[document] = words
        changes = {"words_added": added, "words_removed": removed}
        data = {"document_id": document, "word_count": words, "changes": changes}
        return self.event("document_edit", at, user, session, data)

    def days(self) -> Iterator[list[Event]]:
        """Make the events of each day."""
        for number in range(DAYS):
            day = START + timedelta(days=number)
            events: list[Event] = []
            is_weekend = day.weekday() >= 5  # noqa: PLR2004  Saturday
            for user in self.people:
                if number != QUIET_DAY and self.number(1, 100) <= (8 if is_weekend else 45):
                    at = day + timedelta(milliseconds=self.number(7 * 3_600_000, 17 * 3_600_000))
                    events += self.session(at, user)
            if number == DAY_WITHOUT_LOGINS:
                events = [event for event in events if event["event_type"] != "user_login"]
            if number == BURST_DAY:
                night = [day + timedelta(hours=1, seconds=30 * edit) for edit in range(240)]
                events += [self.edit(at, self.people[7], "s-night", self.documents[3]) for at in night]
            yield events


def broken(event: Event) -> list[bytes]:
    """Return what the contracts reject, and lines that are no JSON."""
    changes: list[Event] = [
        {"event_id": 4711},
        {"event_type": "document_deleted"},
        {"timestamp": "2999-01-01T00:00:00Z"},
        {"timestamp": "yesterday"},
        {"user": "u001"},
        {"user": {"user_id": ""}},
        {"data": None},
    ]
    garbage = [b'{"event_id":"', b"Traceback (most recent call last):", b"[]"]
    return [dumps(event | change) for change in changes] + garbage


def dumps(event: Event) -> bytes:
    """Return compact JSON, as clients send it."""
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()


def write(folder: Path) -> None:
    """Write a file for each week: lines, lines of Windows, an array, and objects over several lines."""
    company = Company()
    days = list(company.days())
    for week in range(0, DAYS, 7):
        events = [event for day in days[week : week + 7] for event in day]
        # Clients send some events again, weeks later and with blanks; and they send what is broken.
        again = [company.pick(company.pick(days[: week + 1]) or events) for _ in range(8)]
        spaced = [json.dumps(dict(reversed(event.items()))).encode() for event in again]
        lines = [*map(dumps, events), *spaced]
        kind = week // 7 % 4
        if kind == 0:
            body = b"\xef\xbb\xbf" + b"\n".join(lines + broken(events[0]))
        elif kind == 1:
            body = b"".join(line + b"\r\n" for line in lines + broken(events[0]))
        elif kind == 2:  # noqa: PLR2004  one of four kinds
            body = b"[" + b",\n".join(lines) + b"]"
        else:
            body = b"\n".join(json.dumps(json.loads(line), indent=1).encode() for line in lines)
        path = folder / f"{START + timedelta(days=week):%Y-%m}" / f"week-{week // 7 + 1}.json.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as stream:
            stream.write(body)


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "events")
