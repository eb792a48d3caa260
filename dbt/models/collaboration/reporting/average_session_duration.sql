with sessions as (

    select * from {{ ref('sessions') }}

),

averages as (

    select
        user_id,
        count(*) as sessions,
        avg(session_duration) as average_seconds
    from sessions
    group by user_id

)

select * from averages
