with source as (

    select * from {{ source('audit', 'audit_events') }}

),

renamed as (

    select
        {{ audit__audit_event_columns() }}
    from source
    where {{ loaded_before_run('audit', 'load_date') }}

),

cleaned as (

    select
        {{ utc_date('load_date') }} as load_date,
        coalesce({{ audit_text('file_name') }}, {{ audit_file_name('_source') }}) as file_name,
        {{ audit_text('event_id') }} as event_id,
        {{ audit_text('transaction_id') }} as transaction_id,
        upper({{ audit_text('status') }}) as status,
        {{ audit_instant(audit_text('event_time')) }} as event_time,
        _source,
        _event_id,
        _segment_id,
        _ingested_at
    from renamed

),

ranked as (

    -- A record is the same as one before it only by its event_id.
    select
        cleaned.*,
        row_number() over (
            partition by load_date, file_name, coalesce(event_id, _event_id)
            order by _ingested_at, _event_id
        ) as recurrence
    from cleaned

),

final as (

    select
        load_date,
        file_name,
        event_id,
        transaction_id,
        status,
        event_time,
        _source,
        _event_id,
        _segment_id,
        _ingested_at
    from ranked
    where recurrence = 1

)

select * from final
