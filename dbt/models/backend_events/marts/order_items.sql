{#
    An order's items are replaced as a whole, since its next event may have fewer. BigQuery's MERGE cannot do that, so
    there the table is made anew.
#}
{{
    config(
        materialized = 'table' if target.type == 'bigquery' else 'incremental',
        incremental_strategy = 'delete+insert',
        unique_key = 'order_id',
        cluster_by = ['product_id', 'order_id'],
    )
}}

with orders as (

    select * from {{ ref('orders') }}

),

items as (

    select * from {{ ref('stg_backend_events__order_items') }}

),

changed as (

    select * from orders
    {% if is_incremental() %}
    where last_ingested_at >= {{ loaded_until() }}
    {% endif %}

),

current_items as (

    select
        changed.order_id,
        items.line_number,
        items.product_id,
        items.product_name,
        items.quantity,
        items.price,
        cast(items.quantity * items.price as {{ type_decimal() }}) as line_amount,
        changed.last_ingested_at
    from changed
    inner join items
        on changed.event_id = items._event_id

)

select * from current_items
