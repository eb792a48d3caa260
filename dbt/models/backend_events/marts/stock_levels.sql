{{
    config(
        unique_key = ['warehouse_id', 'product_id'],
        cluster_by = ['warehouse_id', 'product_id'],
    )
}}

with inventory as (

    select * from {{ ref('stg_backend_events__inventory') }}

),

{% if is_incremental() %}
touched as (

    select distinct
        warehouse_id,
        product_id
    from inventory
    where {{ loaded_since_last_build('backend_events') }}

),
{% endif %}

changed as (

    -- All events of each stock that has a new one.
    select inventory.*
    from inventory
    {% if is_incremental() %}
    inner join touched
        on
            inventory.warehouse_id = touched.warehouse_id
            and inventory.product_id = touched.product_id
    {% endif %}

),

levels as (

    select
        warehouse_id,
        product_id,
        cast(sum(quantity_change) as {{ dbt.type_bigint() }}) as quantity,
        {% for reason in ['restock', 'sale', 'return', 'damage'] %}
        cast(
            sum(case when reason = '{{ reason }}' then quantity_change else 0 end) as {{ dbt.type_bigint() }}
        ) as {{ reason }}_quantity,
        {% endfor %}
        count(*) as events,
        min(timestamp) as first_event_at,
        max(timestamp) as last_event_at,
        max(_ingested_at) as last_ingested_at
    from changed
    group by warehouse_id, product_id

)

select * from levels
