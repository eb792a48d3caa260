{{ config(severity = 'warn') }}

-- A day between the first and the last of the audit that has no event file; the rolling rate reaches further back there.
with days as (

    select distinct load_date
    from {{ ref('mart_audit_daily') }}

),

followed as (

    select
        load_date,
        lag(load_date) over (order by load_date) as day_before
    from days

),

gaps as (

    select
        load_date,
        day_before
    from followed
    where {{ dbt.datediff('day_before', 'load_date', 'day') }} > 1

)

select * from gaps
