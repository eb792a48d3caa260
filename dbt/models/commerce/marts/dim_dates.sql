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
        {{ dbt.datediff('min(date_day)', 'max(date_day)', 'day') }} as days_after
    from days

),

numbers as (

    {{ dbt.generate_series(65536) }}

),

calendar as (

    select cast({{ dbt.dateadd('day', 'cast(generated_number as ' ~ dbt.type_int() ~ ') - 1', 'first_day') }} as date) as date_day
    from numbers
    cross join bounds
    where generated_number - 1 <= days_after

),

numbered as (

    select
        date_day,
        -- 1970-01-05 was a Monday.
        mod({{ dbt.datediff("cast('1970-01-05' as date)", 'date_day', 'day') }}, 7) + 1 as day_of_week
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
