with staged as (

    select * from {{ ref('stg_collaboration__events') }}

),

-- So that the events are built after what they refer to.
users as (

    select user_id from {{ ref('users') }}

),

documents as (

    select document_id from {{ ref('documents') }}

),

preceded as (

    select
        *,
        lag(event_type) over stream as type_before,
        lag(occurred_microseconds) over stream as microseconds_before
    from staged
    window stream as (partition by user_id, session_id order by occurred_at, event_id)

),

numbered as (

    select
        *,
        sum(
            case
                when
                    type_before is null
                    or type_before = 'user_logout'
                    or event_type = 'user_login'
                    or occurred_microseconds - microseconds_before > {{ var('session_gap_minutes') }} * 60000000
                    then 1
                else 0
            end
        ) over (
            partition by user_id, session_id
            order by occurred_at, event_id
            rows between unbounded preceding and current row
        ) as session_number,
        count(word_count) over (
            partition by document_id
            order by occurred_at, event_id
            rows between unbounded preceding and current row
        ) as word_counts_known
    from preceded

),

bounded as (

    select
        *,
        first_value(event_id) over (
            partition by user_id, session_id, session_number
            order by occurred_at, event_id
        ) as session_key,
        min(occurred_at) over one_session as session_started_at,
        max(occurred_microseconds) over one_session - min(occurred_microseconds) over one_session as session_microseconds,
        -- The word count that was known last, and those of the events until the next one that knows it.
        max(word_count) over (partition by document_id, word_counts_known) as last_word_count
    from numbered
    window one_session as (partition by user_id, session_id, session_number)

),

events as (

    select
        bounded.event_id,
        bounded.event_type,
        bounded.occurred_at,
        users.user_id,
        documents.document_id,
        bounded.session_id,
        bounded.event_date,
        {{ weekday_name('bounded.event_date') }} as day_of_week,
        bounded.login_method,
        bounded.permission,
        bounded.comment_id,
        bounded.words_added,
        bounded.words_removed,
        {{ array_length('bounded.shared_with') }} as shared_with_count,
        case when bounded.document_id is not null then bounded.last_word_count end as document_word_count,
        bounded.session_key,
        bounded.session_started_at,
        {{ seconds_of('bounded.session_microseconds') }} as session_duration
    from bounded
    inner join users
        on bounded.user_id = users.user_id
    left join documents
        on bounded.document_id = documents.document_id

)

select * from events
