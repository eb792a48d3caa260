with source as (

    select * from {{ source('commerce', 'customer_logs') }}

),

renamed as (

    select
        {{ commerce__customer_log_columns() }}
    from source
    where {{ loaded_before_run('commerce', 'timestamp') }}

),

dated as (

    select
        renamed.*,
        {{ utc_date('renamed.timestamp') }} as event_day
    from renamed
    where
        {{ is_possible('timestamp', var('first_event_date')) }}

)

select * from dated
