{#
    An order's items are replaced as a whole, since its next event may have fewer. An order that has none now gets one row
    without a line, which takes the place of its old ones and is deleted in the same transaction. BigQuery's MERGE cannot
    replace, so there the table is made anew.
#}
{{
    config(
        materialized = 'table' if target.type == 'bigquery' else 'incremental',
        incremental_strategy = 'delete+insert',
        unique_key = 'order_id',
        post_hook = 'delete from {{ this }} where line_number is null',
        cluster_by = ['product_id', 'order_id'],
    )
}}

with order_events as (

    select * from {{ ref('stg_backend_events__orders') }}

),

items as (

    select * from {{ ref('stg_backend_events__order_items') }}

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
        order_id,
        _event_id,
        max(_ingested_at) over (partition by order_id) as last_ingested_at,
        row_number() over (
            partition by order_id
            order by {{ order_of_events(' desc') }}
        ) as recency
    from changed

),

current_items as (

    select
        ranked.order_id,
        items.line_number,
        items.product_id,
        items.product_name,
        items.quantity,
        items.price,
        cast(items.quantity * items.price as {{ type_decimal() }}) as line_amount,
        ranked.last_ingested_at
    from ranked
    left join items
        on ranked._event_id = items._event_id
    where ranked.recency = 1

)

select * from current_items
