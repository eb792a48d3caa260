with sales as (

    select * from {{ ref('stg_commerce__sales') }}

),

customer_logs as (

    select * from {{ ref('stg_commerce__customer_logs') }}

),

days as (

    select sale_day as date_day from sales
    union distinct
    select event_day as date_day from customer_logs

),

bounds as (

    select
        min(date_day) as first_day,
        max(date_day) as last_day
    from days

),

calendar as (

    {{ calendar_days('first_day', 'last_day', 'bounds') }}

),

numbered as (

    select
        date_day,
        -- 1970-01-05 was a Monday; the remainder of a day before it is negative.
        mod(mod({{ dbt.datediff("cast('1970-01-05' as date)", 'date_day', 'day') }}, 7) + 7, 7) + 1 as day_of_week
    from calendar

),

dates as (

    select
        date_day,
        cast(extract(year from date_day) as {{ dbt.type_int() }}) as year_number,
        cast(extract(quarter from date_day) as {{ dbt.type_int() }}) as quarter_number,
        cast(extract(month from date_day) as {{ dbt.type_int() }}) as month_number,
        cast(extract(day from date_day) as {{ dbt.type_int() }}) as day_of_month,
        cast(day_of_week as {{ dbt.type_int() }}) as day_of_week,
        day_of_week >= 6 as is_weekend,
        cast({{ dbt.date_trunc('month', 'date_day') }} as date) as month_start_day
    from numbered

)

select * from dates
