-- Each order's versions follow each other without gaps, and the last is the order's status; a row here breaks that.
with orders as (

    select * from {{ ref('orders') }}

),

history as (

    select * from {{ ref('order_status_history') }}

),

followed as (

    select
        history.*,
        lead(valid_from) over (
            partition by order_id
            order by version
        ) as next_valid_from
    from history

),

broken as (

    select
        orders.order_id,
        orders.status as order_status,
        followed.version,
        followed.status
    from orders
    left join followed
        on orders.order_id = followed.order_id
    where
        followed.order_id is null
        or (followed.is_current and followed.status <> orders.status)
        or (followed.is_current and followed.next_valid_from is not null)
        or (not followed.is_current and followed.valid_to <> followed.next_valid_from)
        or (not followed.is_current and followed.next_valid_from is null)
        or followed.valid_to < followed.valid_from

)

select * from broken
