with events as (

    select * from {{ ref('events') }}

),

sessions as (

    select
        session_key,
        min(user_id) as user_id,
        min(session_id) as session_id,
        min(occurred_at) as started_at,
        max(occurred_at) as ended_at,
        max(session_duration) as session_duration,
        count(*) as events
    from events
    group by session_key

)

select * from sessions
