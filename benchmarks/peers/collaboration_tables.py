"""What the two scripts beside `scripts/collaboration` share: tables in PostgreSQL, with their keys, and metrics."""

from __future__ import annotations

import os
from collections.abc import Mapping

import pyarrow as pa
from adbc_driver_postgresql import dbapi

TABLES = {
    "users": """user_id text collate "C" primary key, email text, name text, first_seen_at timestamptz not null,
        last_active_at timestamptz""",
    "documents": """document_id text collate "C" primary key, title text, owner_id text collate "C" references users,
        created_at timestamptz, first_seen_at timestamptz not null, last_edited_at timestamptz, word_count bigint,
        edit_count bigint not null, comment_count bigint not null""",
    "events": """event_id text collate "C" primary key, event_type text not null, occurred_at timestamptz not null,
        user_id text collate "C" not null references users, document_id text collate "C" references documents,
        session_id text, event_date date not null, day_of_week text not null, login_method text, permission text,
        comment_id text, words_added bigint, words_removed bigint, shared_with_count bigint,
        document_word_count bigint, session_key text not null, session_started_at timestamptz not null,
        session_duration float8 not null""",
}
"""Table -> its columns; a table comes after those that it refers to."""

VIEWS = {
    "daily_active_users": """
        select day::date as activity_date, count(distinct user_id) as active_users
        from (select max(event_date) as last from events) as newest
        cross join lateral generate_series(last - 29, last, interval '1 day') as day
        left join events on event_date = day::date
        group by day""",
    "average_session_duration": """
        select user_id, count(*) as sessions, avg(seconds) as average_seconds
        from (
            select min(user_id) as user_id, max(session_duration) as seconds from events group by session_key
        ) as sessions
        group by user_id""",
    "most_edited_documents": """
        select row_number() over (order by edit_count desc, document_id) as position, document_id, edit_count
        from documents where edit_count > 0 order by 1 limit 10""",
    "shared_documents": """
        select users.user_id, count(distinct document_id) as shared_documents
        from users left join events on users.user_id = events.user_id and event_type = 'document_shared'
        group by users.user_id""",
}


def store(tables: Mapping[str, pa.Table]) -> None:
    """Write the tables by COPY, and the views on them, in one transaction; $DATABASE_URL names the database."""
    with dbapi.connect(os.environ["DATABASE_URL"]) as connection, connection.cursor() as cursor:
        cursor.execute("set timezone to 'UTC'")
        for name, columns in TABLES.items():
            cursor.execute(f"create table {name} ({columns})")
            names = [column.split()[0] for column in _columns(columns)]
            cursor.adbc_ingest(name, tables[name].select(names), mode="append")
        for name, query in VIEWS.items():
            cursor.execute(f"create view {name} as {query}")
        connection.commit()


def _columns(text: str) -> list[str]:
    return [column.strip() for column in text.split(",")]
