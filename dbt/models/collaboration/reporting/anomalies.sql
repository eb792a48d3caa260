{# What each kind compares is explained in docs/how-to/collaboration.md. Whole numbers only: medians are the lower one of
   two, so that every warehouse writes the same sentences. #}
with events as (

    select * from {{ ref('events') }}

),

active_days as (

    select
        event_date,
        count(*) as events,
        count(distinct user_id) as users,
        sum(case when event_type = 'user_login' then 1 else 0 end) as logins
    from events
    group by event_date

),

bounds as (

    select
        min(event_date) as first_day,
        max(event_date) as last_day
    from active_days

),

digits as (

    {% for digit in range(10) -%}
    select {{ digit }} as digit
    {{ 'union all' if not loop.last }}
    {% endfor %}
),

numbers as (

    select ones.digit + 10 * tens.digit + 100 * hundreds.digit as number
    from digits as ones
    cross join digits as tens
    cross join digits as hundreds
    where ones.digit + 10 * tens.digit + 100 * hundreds.digit <= 112

),

-- A day is compared with four weeks before and after it, so only days within eight weeks of an event matter. One event
-- of a clock that stood at 1970 does not make decades of days.
calendar as (

    select distinct {{ days_before('active_days.event_date', '(numbers.number - 56)') }} as activity_date
    from active_days
    cross join numbers

),

daily as (

    select
        calendar.activity_date,
        case when {{ weekday('calendar.activity_date') }} >= 6 then 1 else 0 end as is_weekend,
        coalesce(active_days.events, 0) as events,
        coalesce(active_days.users, 0) as users,
        coalesce(active_days.logins, 0) as logins
    from calendar
    inner join bounds
        on calendar.activity_date between bounds.first_day and bounds.last_day
    left join active_days
        on calendar.activity_date = active_days.event_date

),

-- Each day beside the days of its kind, working days or weekends, of the four weeks before and after it.
compared as (

    select
        daily.activity_date,
        daily.is_weekend,
        daily.events,
        daily.logins,
        others.events as other_events,
        others.users as other_users,
        others.logins as other_logins
    from daily
    inner join daily as others
        on
            daily.is_weekend = others.is_weekend
            and others.activity_date between
            {{ days_before('daily.activity_date', 28) }}
            and {{ days_before('daily.activity_date', -28) }}
            and daily.activity_date <> others.activity_date
    where daily.logins = 0

),

ordered as (

    select
        *,
        row_number() over (
            partition by activity_date
            order by other_events
        ) as events_rank,
        row_number() over (
            partition by activity_date
            order by other_users
        ) as users_rank,
        row_number() over (
            partition by activity_date
            order by other_logins
        ) as logins_rank,
        count(*) over (partition by activity_date) as others
    from compared

),

usual as (

    select
        activity_date,
        is_weekend,
        events,
        max(others) as others,
        max(case when events_rank * 2 between others and others + 1 then other_events end) as usual_events,
        max(case when users_rank * 2 between others and others + 1 then other_users end) as usual_users,
        max(case when logins_rank * 2 between others and others + 1 then other_logins end) as usual_logins,
        sum(other_events) as other_events,
        sum(other_logins) as other_logins
    from ordered
    group by activity_date, is_weekend, events

),

quiet_days as (

    select
        case when events = 0 then 'no_events' else 'no_logins' end as kind,
        activity_date,
        events,
        usual_events,
        usual_logins
    from usual
    where
        others >= 4
        and (
            (events = 0 and is_weekend = 0 and usual_users >= {{ var('least_usual_users') }})
            or (
                events > 0
                and events * 2 >= usual_events
                and usual_logins >= {{ var('least_usual_logins') }}
                -- As many as so many events come with on other days.
                and events * other_logins >= {{ var('least_usual_logins') }} * other_events
            )
        )

),

-- A night belongs to the day before it, so a day is counted from midnight and from noon.
edits as (

    select
        user_id,
        event_date as window_day,
        event_date,
        'day' as span
    from events
    where event_type = 'document_edit'
    union all
    select
        user_id,
        {{ utc_date(half_day_before('occurred_at')) }} as window_day,
        event_date,
        'night' as span
    from events
    where event_type = 'document_edit'

),

user_days as (

    select
        span,
        user_id,
        window_day,
        min(event_date) as activity_date,
        count(*) as edits
    from edits
    group by span, user_id, window_day

),

ranked_days as (

    select
        *,
        row_number() over (
            partition by span
            order by edits
        ) as rank_of_all,
        count(*) over (partition by span) as all_days,
        row_number() over (
            partition by span, user_id
            order by edits
        ) as rank_of_user,
        count(*) over (partition by span, user_id) as days_of_user
    from user_days

),

usual_edits as (

    select
        span,
        max(case when rank_of_all * 2 between all_days and all_days + 1 then edits end) as median_edits,
        max(case when rank_of_all * 20 between all_days * 19 and all_days * 19 + 19 then edits end) as many_edits
    from ranked_days
    group by span

),

usual_of_users as (

    select
        span,
        user_id,
        max(case when rank_of_user * 2 between days_of_user and days_of_user + 1 then edits end) as median_edits
    from ranked_days
    group by span, user_id

),

bursts as (

    select
        user_days.span,
        user_days.user_id,
        user_days.window_day,
        user_days.activity_date,
        user_days.edits,
        usual_edits.median_edits as usual
    from user_days
    inner join usual_edits
        on user_days.span = usual_edits.span
    inner join usual_of_users
        on
            user_days.span = usual_of_users.span
            and user_days.user_id = usual_of_users.user_id
    inner join ranked_days
        on
            user_days.span = ranked_days.span
            and user_days.user_id = ranked_days.user_id
            and user_days.window_day = ranked_days.window_day
    where
        ranked_days.all_days >= 20
        and user_days.edits >= {{ var('least_burst_edits') }}
        and user_days.edits >= 3 * usual_edits.many_edits
        and user_days.edits >= 8 * usual_edits.median_edits
        and (ranked_days.days_of_user < 3 or user_days.edits >= 4 * usual_of_users.median_edits)

),

-- A burst that a day and a night have in common is one.
single_bursts as (

    select
        user_id,
        activity_date,
        min(span) as span,
        max(edits) as edits,
        max(usual) as usual
    from bursts
    where
        span = 'day'
        or not exists (
            select 1
            from bursts as by_day
            where
                by_day.span = 'day'
                and by_day.user_id = bursts.user_id
                and {{ days_between('bursts.window_day', 'by_day.window_day') }} between 0 and 1
        )
    group by user_id, activity_date

),

anomalies as (

    select
        'edit_burst' as kind,
        activity_date,
        user_id,
        edits as observed,
        usual,
        'User ' || user_id || ' made ' || cast(edits as {{ text_type() }}) || ' edits '
        || case when span = 'day' then 'on ' else 'in the night after ' end || cast(activity_date as {{ text_type() }})
        || '; on a day with edits, a user usually makes ' || cast(usual as {{ text_type() }})
        || '.' as explanation
    from single_bursts
    union all
    select
        kind,
        activity_date,
        {{ null_of('string') }} as user_id,
        0 as observed,
        case when kind = 'no_events' then usual_events else usual_logins end as usual,
        case
            when kind = 'no_events'
                then
                    'Nothing happened on ' || cast(activity_date as {{ text_type() }})
                    || ', a working day; a working day usually has ' || cast(usual_events as {{ text_type() }}) || ' events.'
            else
                'Nobody logged in on ' || cast(activity_date as {{ text_type() }}) || ', although there were '
                || cast(events as {{ text_type() }}) || ' events; such a day usually has '
                || cast(usual_logins as {{ text_type() }}) || ' logins.'
        end as explanation
    from quiet_days

)

select * from anomalies
