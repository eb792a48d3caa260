with source as (

    select * from {{ source('backend_events', 'order_events') }}

),

renamed as (

    select
        {{ backend_events__order_columns() }}
    from source
    where {{ loaded_before_run('order_date') }}

),

ordered as (

    -- How far an order has come, to put events of one instant in order.
    select
        renamed.*,
        case renamed.status
            when 'pending' then 1
            when 'processing' then 2
            when 'shipped' then 3
            when 'delivered' then 4
        end as status_number
    from renamed

)

select * from ordered
