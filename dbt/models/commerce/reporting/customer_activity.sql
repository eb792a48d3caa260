with customer_logs as (

    select * from {{ ref('stg_commerce__customer_logs') }}

),

sales as (

    select * from {{ ref('fct_sales') }}

),

customers as (

    select * from {{ ref('dim_customers') }}

),

events_by_type as (

    select
        user_id,
        event_type,
        count(*) as events
    from customer_logs
    group by user_id, event_type

),

favourites as (

    -- Of types that are equally frequent the first in the alphabet.
    select
        user_id,
        event_type,
        row_number() over (
            partition by user_id
            order by events desc, event_type
        ) as preference
    from events_by_type

),

activity as (

    select
        user_id,
        count(*) as events,
        sum(case when event_type = 'view' then 1 else 0 end) as views,
        sum(case when event_type = 'click' then 1 else 0 end) as clicks,
        sum(case when event_type = 'purchase' then 1 else 0 end) as purchases,
        count(distinct event_day) as active_days
    from customer_logs
    group by user_id

),

revenue as (

    select
        user_id,
        count(*) as sales,
        sum(revenue) as revenue
    from sales
    where is_in_shop_currency
    group by user_id

),

final as (

    select
        customers.user_id,
        rank() over (order by coalesce(activity.events, 0) desc) as activity_rank,
        cast(coalesce(activity.events, 0) as {{ dbt.type_bigint() }}) as events,
        cast(coalesce(activity.views, 0) as {{ dbt.type_bigint() }}) as views,
        cast(coalesce(activity.clicks, 0) as {{ dbt.type_bigint() }}) as clicks,
        cast(coalesce(activity.purchases, 0) as {{ dbt.type_bigint() }}) as purchases,
        cast(coalesce(activity.active_days, 0) as {{ dbt.type_bigint() }}) as active_days,
        favourites.event_type as most_common_event_type,
        coalesce(revenue.sales, 0) as sales,
        cast(coalesce(revenue.revenue, 0) as {{ type_money() }}) as revenue,
        customers.first_seen_at,
        customers.last_seen_at
    from customers
    left join activity
        on customers.user_id = activity.user_id
    left join favourites
        on
            customers.user_id = favourites.user_id
            and favourites.preference = 1
    left join revenue
        on customers.user_id = revenue.user_id

)

select * from final
