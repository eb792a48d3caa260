{{
    config(
        unique_key = 'order_id',
        cluster_by = ['customer_id', 'order_id'],
    )
}}

with order_events as (

    select * from {{ ref('stg_backend_events__orders') }}

),

changed as (

    -- All events of each order that has a new one.
    select * from order_events
    {% if is_incremental() %}
    where order_id in (select order_id from order_events where {{ loaded_since_last_build('backend_events') }})
    {% endif %}

),

ranked as (

    select
        changed.*,
        row_number() over (
            partition by order_id
            order by {{ order_of_events(' desc') }}
        ) as recency
    from changed

),

totals as (

    select
        order_id,
        min(order_date) as first_event_at,
        count(*) as events,
        max(_ingested_at) as last_ingested_at
    from changed
    group by order_id

),

latest as (

    select
        ranked.order_id,
        ranked.customer_id,
        ranked.status,
        totals.first_event_at,
        ranked.order_date as last_event_at,
        ranked.shipping_address_street,
        ranked.shipping_address_city,
        ranked.shipping_address_country,
        ranked.total_amount,
        totals.events,
        ranked._event_id as event_id,
        totals.last_ingested_at
    from ranked
    inner join totals
        on ranked.order_id = totals.order_id
    where ranked.recency = 1

)

select * from latest
