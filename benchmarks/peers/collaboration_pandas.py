"""usage: collaboration_pandas FOLDER OUT: logs of a collaboration platform to PostgreSQL, by a script with pandas."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from benchmarks.peers.collaboration_tables import store

Record = dict[str, Any]
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
DATA: dict[str, dict[str, tuple[type, bool]]] = {
    "user_login": {"method": (str, True)},
    "user_logout": {"reason": (str, False)},
    "document_created": {"document_id": (str, True), "title": (str, True), "word_count": (int, False)},
    "document_edit": {"document_id": (str, True), "word_count": (int, False), "changes": (dict, True)},
    "comment_added": {"document_id": (str, True), "comment_id": (str, True), "body": (str, True)},
    "document_shared": {"document_id": (str, True), "permission": (str, True), "shared_with": (list, True)},
}
VALUES = {
    "method": {"password", "sso", "google"},
    "permission": {"view", "comment", "edit"},
}


def instant(text: object) -> datetime | None:
    """Return the instant of a timestamp; None if it is none."""
    try:
        at = datetime.fromisoformat(text)  # type: ignore[arg-type]  # what is no text raises TypeError
    except (TypeError, ValueError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def has_fields(data: Record, fields: Mapping[str, tuple[type, bool]]) -> bool:
    """Tell whether the data of an event are of the types and values of its type."""
    for name, (kind, required) in fields.items():
        value: Any = data.get(name)
        if value is None:
            if required:
                return False
        elif type(value) is not kind or value not in VALUES.get(name, [value]):
            return False
        elif value in ("", []) or (isinstance(value, int) and value < 0):
            return False
    return True


def is_valid(event: Any, now: datetime) -> bool:
    """Tell whether a record is an event that the platform sends; an event learns its instant."""
    if not isinstance(event, dict):
        return False
    user, data, fields = event.get("user"), event.get("data"), DATA.get(event.get("event_type", ""))
    if not isinstance(user, dict) or not isinstance(data, dict) or fields is None:
        return False
    if not user.get("user_id") or not UUID.fullmatch(str(event.get("event_id"))):
        return False
    event["at"] = instant(event.get("timestamp"))
    return event["at"] is not None and event["at"] <= now and has_fields(data, fields)


def rows(event: Record) -> Record:
    """Return the columns of one event."""
    data, user = event["data"], event["user"]
    changes = data.get("changes", {})
    return {
        "event_id": event["event_id"],
        "event_type": event["event_type"],
        "occurred_at": event["at"],
        "user_id": user["user_id"],
        "email": user.get("email"),
        "user_name": user.get("name"),
        "session_id": event.get("session_id"),
        "document_id": data.get("document_id"),
        "title": data.get("title"),
        "word_count": data.get("word_count"),
        "login_method": data.get("method"),
        "permission": data.get("permission"),
        "comment_id": data.get("comment_id"),
        "words_added": changes.get("words_added"),
        "words_removed": changes.get("words_removed"),
        "shared_with": data.get("shared_with"),
        "mentions": data.get("mentions"),
    }


def read(folder: Path, rejected: Any) -> Iterator[Record]:
    """Yield the rows of valid events; write the other lines to `rejected`."""
    now = datetime.now(UTC)
    for path in sorted(folder.glob("*.json")):
        with path.open("rb") as lines:
            for line in lines:
                try:
                    event = json.loads(line)
                except ValueError:
                    event = None
                if is_valid(event, now):
                    yield rows(event)
                else:
                    rejected.write(line)


def sessions(events: pd.DataFrame) -> pd.DataFrame:
    """Add what is known of the session of each event, and the word count known after it."""
    stream = events.groupby(["user_id", "session_id"], dropna=False, sort=False)
    type_before, time_before = stream["event_type"].shift(), stream["occurred_at"].shift()
    gap = events["occurred_at"] - time_before > pd.Timedelta(minutes=30)
    starts = (
        type_before.isna() | (type_before == "user_logout") | (events["event_type"] == "user_login") | gap
    )
    events["number"] = starts.groupby([events["user_id"], events["session_id"].fillna("\0")]).cumsum()
    session = events.groupby(["user_id", "session_id", "number"], dropna=False, sort=False)
    events["session_key"] = session["event_id"].transform("first")
    events["session_started_at"] = session["occurred_at"].transform("min")
    length = session["occurred_at"].transform("max") - events["session_started_at"]
    events["session_duration"] = length.dt.total_seconds()
    events["document_word_count"] = events.groupby("document_id", sort=False)["word_count"].ffill()
    return events


def people(events: pd.DataFrame) -> pd.DataFrame:
    """Return the users: who did something, was mentioned, or got access."""
    acting = events[["user_id", "occurred_at", "event_id", "email", "user_name"]].assign(
        acts=events["occurred_at"]
    )
    shared = events.loc[events["event_type"] == "document_shared", ["occurred_at", "event_id", "shared_with"]]
    shared = shared.explode("shared_with")
    shared["user_id"] = shared["shared_with"].str["user_id"]
    shared["email"] = shared["shared_with"].str.get("email")
    mentioned = events.loc[events["event_type"] == "comment_added", ["occurred_at", "event_id", "mentions"]]
    mentioned = mentioned.explode("mentions").rename(columns={"mentions": "user_id"}).dropna(subset="user_id")
    seen = pd.concat([acting, shared, mentioned]).sort_values(["occurred_at", "event_id"], kind="stable")
    seen["email"] = seen["email"].where(seen["email"].str.contains("@", na=False)).str.strip().str.lower()
    seen["name"] = seen["user_name"].str.strip().replace("", None)
    users = seen.groupby("user_id").agg(
        email=("email", "last"),
        name=("name", "last"),
        first_seen_at=("occurred_at", "min"),
        last_active_at=("acts", "max"),
    )
    return users.reset_index()


def documents(events: pd.DataFrame) -> pd.DataFrame:
    """Return the documents that events are about."""
    events = events[events["document_id"].notna()]
    is_edit, is_creation = events["event_type"] == "document_edit", events["event_type"] == "document_created"
    known = events.assign(
        title=events["title"].where(events["title"].str.strip() != ""),
        edited=events["occurred_at"].where(is_edit),
        is_edit=is_edit,
        is_comment=events["event_type"] == "comment_added",
    )
    found = known.groupby("document_id").agg(
        title=("title", "last"),
        first_seen_at=("occurred_at", "min"),
        last_edited_at=("edited", "max"),
        word_count=("word_count", "last"),
        edit_count=("is_edit", "sum"),
        comment_count=("is_comment", "sum"),
    )
    created = events[is_creation].groupby("document_id")[["user_id", "occurred_at"]].first()
    created.columns = pd.Index(["owner_id", "created_at"])
    return found.join(created).reset_index()


def main(folder: Path, out: Path) -> None:
    """Read, model and store."""
    with (out / "rejected.json").open("wb") as rejected:
        events = pd.DataFrame.from_records(list(read(folder, rejected)))
    events = events.sort_values(["occurred_at", "event_id"]).drop_duplicates("event_id", ignore_index=True)
    for name in ("word_count", "words_added", "words_removed"):
        events[name] = events[name].astype("Int64")
    events["occurred_at"] = events["occurred_at"].astype("datetime64[us, UTC]")
    events = sessions(events)
    events["event_date"] = events["occurred_at"].dt.date
    events["day_of_week"] = events["occurred_at"].dt.day_name()
    events["shared_with_count"] = events["shared_with"].str.len().astype("Int64")
    tables = {
        "users": people(events),
        "documents": documents(events),
        "events": events.drop(columns=["shared_with", "mentions"]),
    }
    store({name: pa.Table.from_pandas(table, preserve_index=False) for name, table in tables.items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
