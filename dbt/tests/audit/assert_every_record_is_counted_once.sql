-- What staging has is what the daily audit counts, day by day; a row here is a day of which they disagree.
with events as (

    select
        load_date,
        count(*) as records
    from {{ ref('stg_events') }}
    group by load_date

),

daily as (

    select
        load_date,
        sum(nb_total) as records
    from {{ ref('mart_audit_daily') }}
    group by load_date

),

compared as (

    select
        daily.load_date,
        daily.records,
        events.records as staged
    from daily
    left join events
        on daily.load_date = events.load_date
    where daily.records <> coalesce(events.records, 0)

)

select * from compared
