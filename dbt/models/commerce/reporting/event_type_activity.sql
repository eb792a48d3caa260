with customer_logs as (

    select * from {{ ref('stg_commerce__customer_logs') }}

),

counted as (

    select
        event_type,
        count(*) as events,
        count(distinct user_id) as users
    from customer_logs
    group by event_type

),

ranked as (

    select
        event_type,
        rank() over (order by events desc) as frequency_rank,
        events,
        users
    from counted

)

select * from ranked
