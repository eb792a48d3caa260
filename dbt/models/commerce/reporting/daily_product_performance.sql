{{
    config(
        partition_by = by_day('metric_date'),
        cluster_by = ['category', 'product_id'],
    )
}}

with daily_revenue as (

    select * from {{ ref('fct_daily_product_revenue') }}

),

customer_logs as (

    select * from {{ ref('stg_commerce__customer_logs') }}

),

products as (

    select * from {{ ref('dim_products') }}

),

daily_events as (

    select
        event_day,
        product_id,
        sum(case when event_type = 'view' then 1 else 0 end) as views,
        sum(case when event_type = 'click' then 1 else 0 end) as clicks,
        sum(case when event_type = 'purchase' then 1 else 0 end) as purchases
    from customer_logs
    where product_id is not null
    group by event_day, product_id

),

days as (

    select
        sale_date as metric_date,
        product_id
    from daily_revenue
    union distinct
    select
        event_day as metric_date,
        product_id
    from daily_events

),

performance as (

    select
        days.metric_date,
        days.product_id,
        products.product_name,
        products.category,
        coalesce(daily_revenue.sales, 0) as sales,
        coalesce(daily_revenue.units_sold, 0) as units_sold,
        coalesce(daily_revenue.units_returned, 0) as units_returned,
        cast(coalesce(daily_revenue.revenue, 0) as {{ type_money() }}) as revenue,
        cast(coalesce(daily_events.views, 0) as {{ dbt.type_bigint() }}) as views,
        cast(coalesce(daily_events.clicks, 0) as {{ dbt.type_bigint() }}) as clicks,
        cast(coalesce(daily_events.purchases, 0) as {{ dbt.type_bigint() }}) as purchases
    from days
    inner join products
        on days.product_id = products.product_id
    left join daily_revenue
        on
            days.metric_date = daily_revenue.sale_date
            and days.product_id = daily_revenue.product_id
    left join daily_events
        on
            days.metric_date = daily_events.event_day
            and days.product_id = daily_events.product_id

)

select * from performance
