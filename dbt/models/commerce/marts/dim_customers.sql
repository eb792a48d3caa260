with sales as (

    select * from {{ ref('stg_commerce__sales') }}

),

customer_logs as (

    select * from {{ ref('stg_commerce__customer_logs') }}

),

seen as (

    select
        user_id,
        sale_date as seen_at,
        1 as sales,
        0 as events
    from sales
    union all
    select
        user_id,
        timestamp as seen_at,
        0 as sales,
        1 as events
    from customer_logs

),

customers as (

    select
        user_id,
        min(seen_at) as first_seen_at,
        max(seen_at) as last_seen_at,
        max(sales) = 1 as has_sales,
        max(events) = 1 as has_events
    from seen
    group by user_id

)

select * from customers
