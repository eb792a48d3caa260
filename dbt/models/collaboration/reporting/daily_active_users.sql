with events as (

    select * from {{ ref('events') }}

),

newest as (

    select max(event_date) as day from events

),

numbers as (

    {% for number in range(30) -%}
    select {{ number }} as days_ago
    {{ 'union all' if not loop.last }}
    {% endfor %}
),

days as (

    select {{ days_before('newest.day', 'numbers.days_ago') }} as activity_date
    from newest
    cross join numbers
    where newest.day is not null

),

daily as (

    select
        days.activity_date,
        count(distinct events.user_id) as active_users
    from days
    left join events
        on days.activity_date = events.event_date
    group by days.activity_date

)

select * from daily
