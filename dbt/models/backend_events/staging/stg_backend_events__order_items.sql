with source as (

    select * from {{ source('backend_events', 'order_events') }}

),

items as (

    select
        {{ sluice_column('_event_id', 'string') }} as _event_id,
        {{ sluice_column('order_id', 'uuid') }} as order_id,
        cast({{ sluice_item_number() }} as {{ dbt.type_bigint() }}) as line_number,
        {{ backend_events__order_items_columns() }}
    from source
    {{ sluice_unnest('items') }}
    where {{ loaded_before_run('backend_events', 'order_date') }}

)

select * from items
