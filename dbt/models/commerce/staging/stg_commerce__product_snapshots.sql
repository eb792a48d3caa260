with source as (

    select * from {{ source('commerce', 'product_catalog') }}

),

renamed as (

    select
        {{ commerce__product_columns() }}
    from source
    where {{ loaded_before_run('commerce', 'snapshot_at') }}

),

ranked as (

    -- Of several snapshots of one instant the later change counts, then the later word of the exports.
    select
        _event_id,
        row_number() over (
            partition by product_id, snapshot_at
            order by coalesce(updated_at, snapshot_at) desc, {{ order_of_exports(' desc') }}
        ) as recency
    from renamed
    where
        {{ is_possible('snapshot_at', var('first_event_date')) }}

),

snapshots as (

    select renamed.*
    from renamed
    inner join ranked
        on renamed._event_id = ranked._event_id
    where ranked.recency = 1

)

select * from snapshots
