"""usage: collaboration_duckdb FOLDER OUT: logs of a collaboration platform to PostgreSQL, by a DuckDB script."""

from __future__ import annotations

import sys

import duckdb

from benchmarks.peers.collaboration_tables import TABLES, store

SCRIPT = r"""
set threads = 2;
set timezone = 'UTC';

create table raw as
select column0 as line
from read_csv(
    '{folder}/*.json', header = false, columns = {{'column0': 'varchar'}}, delim = '', quote = '', escape = '',
    max_line_size = 10000000
);

create table parsed as
with valid_json as (select line, json_valid(line) as ok from raw),
fields as (
    select
        line,
        line ->> '$.event_id' as event_id,
        line ->> '$.event_type' as event_type,
        try_cast(line ->> '$.timestamp' as timestamptz) as occurred_at,
        line ->> '$.user.user_id' as user_id,
        line ->> '$.user.email' as email,
        line ->> '$.user.name' as user_name,
        line ->> '$.session_id' as session_id,
        line ->> '$.data.document_id' as document_id,
        line ->> '$.data.title' as title,
        try_cast(line ->> '$.data.word_count' as bigint) as word_count,
        line ->> '$.data.method' as login_method,
        line ->> '$.data.permission' as permission,
        line ->> '$.data.comment_id' as comment_id,
        try_cast(line ->> '$.data.changes.words_added' as bigint) as words_added,
        try_cast(line ->> '$.data.changes.words_removed' as bigint) as words_removed,
        json_extract(line, '$.data.shared_with[*]') as shared_with,
        json_extract_string(line, '$.data.mentions[*]') as mentions,
        json_type(line, '$.data') as data_type,
        json_type(line, '$.event_id') as id_type
    from valid_json where ok
)
select
    *,
    coalesce(
        regexp_full_match(event_id, '[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}') and id_type = 'VARCHAR'
        and data_type = 'OBJECT' and occurred_at <= now() and user_id <> ''
        and case event_type
            when 'user_login' then login_method in ('password', 'sso', 'google')
            when 'user_logout' then true
            when 'document_created' then document_id <> '' and title is not null and coalesce(word_count, 0) >= 0
            when 'document_edit' then document_id <> '' and words_added >= 0 and words_removed >= 0
            when 'comment_added' then document_id <> '' and comment_id <> ''
            when 'document_shared'
                then document_id <> '' and permission in ('view', 'comment', 'edit') and len(shared_with) > 0
            else false
        end, false) as is_valid
from fields;

copy (
    select line from raw where not json_valid(line) union all select line from parsed where not is_valid
) to '{out}/rejected.csv';

create table staged as
select * exclude (line, data_type, id_type, is_valid)
from parsed where is_valid
qualify row_number() over (partition by event_id order by occurred_at) = 1;

create table users as
with occurrences as (
    select event_id, occurred_at, user_id, email, user_name, occurred_at as acts from staged
    union all
    select event_id, occurred_at, person ->> 'user_id', person ->> 'email', null, null
    from (select event_id, occurred_at, unnest(shared_with) as person from staged where event_type = 'document_shared')
    union all
    select event_id, occurred_at, unnest(mentions), null, null, null from staged where event_type = 'comment_added'
)
select
    user_id,
    lower(trim(arg_max(email, (occurred_at, event_id)) filter (email like '%@%'))) as email,
    trim(arg_max(user_name, (occurred_at, event_id)) filter (trim(user_name) <> '')) as name,
    min(occurred_at) as first_seen_at,
    max(acts) as last_active_at
from occurrences group by user_id;

create table documents as
select
    document_id,
    arg_max(title, (occurred_at, event_id)) filter (trim(title) <> '') as title,
    arg_min(user_id, (occurred_at, event_id)) filter (event_type = 'document_created') as owner_id,
    min(occurred_at) filter (event_type = 'document_created') as created_at,
    min(occurred_at) as first_seen_at,
    max(occurred_at) filter (event_type = 'document_edit') as last_edited_at,
    arg_max(word_count, (occurred_at, event_id)) filter (word_count is not null) as word_count,
    count(*) filter (event_type = 'document_edit') as edit_count,
    count(*) filter (event_type = 'comment_added') as comment_count
from staged where document_id is not null group by document_id;

create table events as
with preceded as (
    select *, lag(event_type) over stream as type_before, lag(occurred_at) over stream as time_before
    from staged
    window stream as (partition by user_id, session_id order by occurred_at, event_id)
),
numbered as (
    select
        *,
        count(*) filter (
            type_before is null or type_before = 'user_logout' or event_type = 'user_login'
            or occurred_at - time_before > interval '30 minutes'
        ) over (partition by user_id, session_id order by occurred_at, event_id) as number
    from preceded
)
select
    event_id, event_type, occurred_at, user_id, document_id, session_id, occurred_at::date as event_date,
    dayname(occurred_at) as day_of_week, login_method, permission, comment_id, words_added, words_removed,
    case when event_type = 'document_shared' then len(shared_with) end as shared_with_count,
    case when document_id is not null then last_value(word_count ignore nulls) over (
        partition by document_id order by occurred_at, event_id
        rows between unbounded preceding and current row
    ) end as document_word_count,
    first_value(event_id) over (
        partition by user_id, session_id, number order by occurred_at, event_id
    ) as session_key,
    min(occurred_at) over session as session_started_at,
    (epoch_us(max(occurred_at) over session) - epoch_us(min(occurred_at) over session)) / 1e6 as session_duration
from numbered
window session as (partition by user_id, session_id, number);
"""

if __name__ == "__main__":
    connection = duckdb.connect()
    connection.execute(SCRIPT.format(folder=sys.argv[1], out=sys.argv[2]))
    store({name: connection.table(name).to_arrow_table() for name in TABLES})
