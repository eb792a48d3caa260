with source as (

    select * from {{ source('backend_events', 'user_activity_events') }}

),

renamed as (

    select
        {{ backend_events__user_activity_columns() }}
    from source
    where {{ loaded_before_run('backend_events', 'timestamp') }}

),

possible as (

    select * from renamed
    where
        {{ is_possible('timestamp', var('first_event_date')) }}

)

select * from possible
