with snapshots as (

    select * from {{ ref('stg_commerce__product_snapshots') }}

),

ranked as (

    select
        _event_id,
        row_number() over (
            partition by product_id
            order by snapshot_at desc
        ) as recency
    from snapshots

),

latest as (

    select snapshots.*
    from snapshots
    inner join ranked
        on snapshots._event_id = ranked._event_id
    where ranked.recency = 1

)

select * from latest
