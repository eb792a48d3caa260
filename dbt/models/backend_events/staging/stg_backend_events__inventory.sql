with source as (

    select * from {{ source('backend_events', 'inventory_events') }}

),

renamed as (

    select
        {{ backend_events__inventory_columns() }}
    from source
    where {{ loaded_before_run('timestamp') }}

)

select * from renamed
