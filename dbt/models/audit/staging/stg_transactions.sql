with source as (

    select * from {{ source('audit', 'audit_transactions') }}

),

renamed as (

    select
        {{ audit__audit_transaction_columns() }}
    from source
    where {{ loaded_before_run('audit', 'load_date') }}

),

cleaned as (

    select
        {{ audit_text('transaction_id') }} as transaction_id,
        {{ audit_text('amount') }} as amount_text,
        {{ audit_text('customer_id') }} as customer_id,
        {{ audit_instant(audit_text('load_time')) }} as load_time,
        _source,
        _event_id,
        _segment_id,
        _ingested_at
    from renamed

),

numbered as (

    select
        cleaned.*,
        {{ audit_number('amount_text') }} as amount,
        {{ audit_number_sign('amount_text') }} as amount_sign
    from cleaned
    where transaction_id is not null

),

ranked as (

    select
        numbered.*,
        row_number() over (
            partition by transaction_id
            order by
                case when load_time is null then 1 else 0 end,
                load_time desc,
                coalesce(amount_sign, -2) desc,
                _event_id
        ) as recency
    from numbered

),

final as (

    select
        transaction_id,
        amount,
        amount_sign,
        customer_id,
        load_time,
        _source,
        _event_id,
        _segment_id,
        _ingested_at
    from ranked
    where recency = 1

)

select * from final
