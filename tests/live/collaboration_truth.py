"""What the tables and metrics of collaboration must be, in plain Python and from the files: the rules once more.

Nothing of the product is imported. Values are those of CSV files: texts, with "" for null.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

Record = dict[str, Any]
Row = dict[str, Any]

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)?")
GAP = timedelta(minutes=30)
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def instant(value: object) -> datetime | None:
    """Return the instant of a timestamp, or None if it is none."""
    if not isinstance(value, str) or not TIME.fullmatch(value):
        return None
    try:
        moment = datetime.fromisoformat(value.upper())
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def text(value: object) -> bool:
    return isinstance(value, str)


def name(value: object) -> bool:
    return isinstance(value, str) and value != ""


def count(value: object) -> bool:
    return type(value) is int and value >= 0


def optional(record: Mapping[str, Any], key: str, valid: Any, *, null: bool = False) -> bool:
    if key not in record:
        return True
    return (null and record[key] is None) or bool(valid(record[key]))


def device(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.get("platform") in ("web", "desktop", "mobile")
        and optional(value, "app_version", text)
    )


def share(value: Any) -> bool:
    return isinstance(value, dict) and name(value.get("user_id")) and optional(value, "email", text)


def changes(value: Any) -> bool:
    return isinstance(value, dict) and all(count(value.get(key)) for key in ("words_added", "words_removed"))


def one_of(*values: str) -> Any:
    return lambda value: isinstance(value, str) and value in values


def valid_data(event_type: str, data: Record) -> bool:
    if event_type == "user_login":
        has_method = one_of("password", "sso", "google")(data.get("method"))
        return has_method and optional(data, "ip_address", text) and optional(data, "device", device)
    if event_type == "user_logout":
        return optional(data, "reason", one_of("manual", "timeout"), null=True)
    if not name(data.get("document_id")):
        return False
    if event_type == "document_created":
        return text(data.get("title")) and optional(data, "word_count", count)
    if event_type == "document_edit":
        has_title = optional(data, "title", text, null=True)
        return has_title and optional(data, "word_count", count, null=True) and changes(data.get("changes"))
    return valid_comment(data) if event_type == "comment_added" else valid_share(data)


def valid_comment(data: Record) -> bool:
    is_comment = name(data.get("comment_id")) and text(data.get("body"))
    mentions = optional(data, "mentions", lambda value: isinstance(value, list) and all(map(name, value)))
    return is_comment and mentions and optional(data, "parent_comment_id", text, null=True)


def valid_share(data: Record) -> bool:
    shared_with = data.get("shared_with")
    has_others = isinstance(shared_with, list) and shared_with != [] and all(map(share, shared_with))
    return has_others and one_of("view", "comment", "edit")(data.get("permission"))


TYPES = (
    "user_login",
    "user_logout",
    "document_created",
    "document_edit",
    "comment_added",
    "document_shared",
)


def is_valid(record: Any, run: datetime) -> bool:
    """Tell whether a record is accepted by a run that began at `run`."""
    if not isinstance(record, dict) or record.get("event_type") not in TYPES:
        return False
    moment, user, data = instant(record.get("timestamp")), record.get("user"), record.get("data")
    if moment is None or moment > run or not isinstance(user, dict) or not isinstance(data, dict):
        return False
    return (
        isinstance(record.get("event_id"), str)
        and UUID.fullmatch(record["event_id"]) is not None
        and name(user.get("user_id"))
        and all(optional(user, key, text, null=True) for key in ("email", "name"))
        and optional(record, "session_id", name, null=True)
        and valid_data(record["event_type"], data)
    )


@dataclass
class Event:
    """An accepted event."""

    record: Record
    at: datetime
    row: Row = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.id: str = self.record["event_id"]
        self.type: str = self.record["event_type"]
        self.user: Record = self.record["user"]
        self.actor: str = self.user["user_id"]
        self.data: Record = self.record["data"]
        self.document: str | None = (
            None if self.type in ("user_login", "user_logout") else self.data["document_id"]
        )

    @property
    def order(self) -> tuple[datetime, str]:
        return self.at, self.id

    @property
    def shares(self) -> list[Record]:
        return self.data["shared_with"] if self.type == "document_shared" else []

    @property
    def mentions(self) -> list[str]:
        return self.data.get("mentions", []) if self.type == "comment_added" else []


@dataclass
class Truth:
    """The tables and metrics, as lists of rows, and the ledger."""

    ledger: dict[str, int]
    events: list[Event]

    def tables(self) -> dict[str, list[Row]]:
        """Return every table and metric that the rules determine in full."""
        sessions = list(self._sessions())
        documents = self._documents()
        return {
            "users": self._users(),
            "documents": documents,
            "events": [event.row for event in self._described()],
            "daily_active_users": self._daily_active_users(),
            "average_session_duration": average_durations(sessions),
            "most_edited_documents": most_edited(documents),
            "shared_documents": self._shared_documents(),
        }

    def _users(self) -> list[Row]:
        users: dict[str, Row] = {}

        def see(user_id: str, event: Event) -> Row:
            first: Row = {"user_id": user_id, "email": "", "name": "", "last_active_at": ""}
            return users.setdefault(user_id, {**first, "first_seen_at": moment(event.at)})

        for event in self.events:
            row = see(event.actor, event)
            row["last_active_at"] = moment(event.at)
            know(row, "email", address(event.user.get("email")))
            know(row, "name", (event.user.get("name") or "").strip())
            for other in event.shares:
                know(see(other["user_id"], event), "email", address(other.get("email")))
            for user_id in event.mentions:
                see(user_id, event)
        return [users[user_id] for user_id in sorted(users)]

    def _documents(self) -> list[Row]:
        documents: dict[str, Row] = {}
        for event in self.events:
            if event.document is None:
                continue
            unknown = dict.fromkeys(("title", "owner_id", "created_at", "last_edited_at", "word_count"), "")
            first = {"document_id": event.document, **unknown, "first_seen_at": moment(event.at)}
            row = documents.setdefault(event.document, {**first, "edit_count": 0, "comment_count": 0})
            if event.type in ("document_created", "document_edit"):
                title = event.data.get("title") or ""
                know(row, "title", title if title.strip() else "")
                know(row, "word_count", event.data.get("word_count"))
            if event.type == "document_created" and not row["created_at"]:
                row |= {"owner_id": event.actor, "created_at": moment(event.at)}
            if event.type == "document_edit":
                row["last_edited_at"] = moment(event.at)
            row["edit_count"] += event.type == "document_edit"
            row["comment_count"] += event.type == "comment_added"
        return [documents[document_id] for document_id in sorted(documents)]

    def _described(self) -> list[Event]:
        words: dict[str, int] = {}
        for session in self._sessions():
            for event in session:
                event.row = {
                    "session_started_at": moment(session[0].at),
                    "session_duration": (session[-1].at - session[0].at).total_seconds(),
                }
        for event in self.events:
            data, edit = event.data, event.data.get("changes") if event.type == "document_edit" else None
            if event.type in ("document_created", "document_edit") and data.get("word_count") is not None:
                words[data["document_id"]] = data["word_count"]
            event.row |= {
                "event_id": event.id,
                "event_type": event.type,
                "occurred_at": moment(event.at),
                "user_id": event.actor,
                "document_id": event.document or "",
                "session_id": event.record.get("session_id") or "",
                "event_date": event.at.date().isoformat(),
                "day_of_week": DAYS[event.at.weekday()],
                "login_method": data["method"] if event.type == "user_login" else "",
                "permission": data["permission"] if event.type == "document_shared" else "",
                "comment_id": data["comment_id"] if event.type == "comment_added" else "",
                "words_added": edit["words_added"] if edit else "",
                "words_removed": edit["words_removed"] if edit else "",
                "shared_with_count": len(event.shares) or "",
                "document_word_count": words.get(event.document, "") if event.document else "",
            }
        return self.events

    def _sessions(self) -> Iterator[list[Event]]:
        streams: dict[tuple[str, str | None], list[Event]] = defaultdict(list)
        for event in self.events:
            streams[event.actor, event.record.get("session_id")].append(event)
        for stream in streams.values():
            session: list[Event] = []
            for event in stream:
                ended = session and (
                    event.type == "user_login"
                    or session[-1].type == "user_logout"
                    or event.at - session[-1].at > GAP
                )
                if ended:
                    yield session
                    session = []
                session.append(event)
            yield session

    def _daily_active_users(self) -> list[Row]:
        active: dict[str, set[str]] = defaultdict(set)
        for event in self.events:
            active[event.at.date().isoformat()].add(event.actor)
        if not self.events:
            return []
        newest = self.events[-1].at.date()
        days = [(newest - timedelta(days=ago)).isoformat() for ago in range(29, -1, -1)]
        return [{"activity_date": day, "active_users": len(active[day])} for day in days]

    def _shared_documents(self) -> list[Row]:
        shared: dict[str, set[str]] = defaultdict(set)
        for event in self.events:
            if event.type == "document_shared":
                shared[event.actor].add(event.data["document_id"])
        return [
            {"user_id": row["user_id"], "shared_documents": len(shared[row["user_id"]])}
            for row in self._users()
        ]


def average_durations(sessions: Iterable[Sequence[Event]]) -> list[Row]:
    durations: dict[str, list[float]] = defaultdict(list)
    for session in sessions:
        durations[session[0].actor].append((session[-1].at - session[0].at).total_seconds())
    return [
        {
            "user_id": user,
            "sessions": len(durations[user]),
            "average_seconds": sum(durations[user]) / len(durations[user]),
        }
        for user in sorted(durations)
    ]


def most_edited(documents: Iterable[Row]) -> list[Row]:
    edited = [row for row in documents if row["edit_count"]]
    edited.sort(key=lambda row: (-row["edit_count"], row["document_id"]))
    return [
        {"position": position, "document_id": row["document_id"], "edit_count": row["edit_count"]}
        for position, row in enumerate(edited[:10], start=1)
    ]


def know(row: Row, key: str, value: Any) -> None:
    """Set what is known, unless the value is none or an empty text."""
    if value is not None and value != "":
        row[key] = value


def address(value: str | None) -> str:
    return value.strip().lower() if value and "@" in value else ""


def moment(at: datetime) -> str:
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse(record: bytes) -> Any:
    """Return the value of a record, or None if it is no JSON."""

    def no_number(literal: str) -> Any:
        raise ValueError(literal)

    try:
        return json.loads(record.decode(), parse_constant=no_number)
    except ValueError:
        return None


def truth(records: Iterable[bytes], run: datetime) -> Truth:
    """Return what becomes of the records, in any order; `run` is when the run began."""
    ledger: Counter[str] = Counter(read=0, accepted=0, repeated=0, rejected=0)
    accepted: dict[str, Event] = {}
    for record in records:
        value = parse(record)
        ledger["read"] += 1
        if not is_valid(value, run):
            ledger["rejected"] += 1
            continue
        event = Event(value, instant(value["timestamp"]) or run)
        ledger["repeated" if event.id in accepted else "accepted"] += 1
        # The earliest of repeats that differ stays.
        accepted[event.id] = min(
            event, accepted.get(event.id, event), key=lambda one: (one.at, one.type, one.actor)
        )
    return Truth(dict(ledger), sorted(accepted.values(), key=lambda event: event.order))
