with source as (

    select * from {{ source('backend_events', 'user_activity_events') }}

),

renamed as (

    select
        {{ backend_events__user_activity_columns() }}
    from source
    where {{ loaded_before_run('timestamp') }}

)

select * from renamed
