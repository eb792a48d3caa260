with source as (

    select * from {{ source('backend_events', 'order_events') }}

),

renamed as (

    select
        {{ backend_events__order_columns() }}
    from source
    where {{ loaded_before_run('backend_events', 'order_date') }}

),

segments as (

    select
        segment_id,
        path
    from {{ source('backend_events', '_segments') }}
    where {{ any_partition('minute') }}

),

ordered as (

    -- What puts events of one instant in order: how far the order has come, and then their places in the event log.
    select
        renamed.*,
        case renamed.status
            when 'pending' then 1
            when 'processing' then 2
            when 'shipped' then 3
            when 'delivered' then 4
        end as status_number,
        segments.path as segment_path
    from renamed
    inner join segments
        on renamed._segment_id = segments.segment_id
    where
        {{ is_possible('order_date', var('first_event_date')) }}

)

select * from ordered
