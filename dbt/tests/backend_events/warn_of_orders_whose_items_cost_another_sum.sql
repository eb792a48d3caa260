{{ config(severity = 'warn') }}

-- The total of an order is what the shop says; discounts and shipping can make it differ from the sum of the items.
with orders as (

    select * from {{ ref('orders') }}

),

items as (

    select
        order_id,
        sum(line_amount) as items_amount
    from {{ ref('order_items') }}
    group by order_id

),

differing as (

    select
        orders.order_id,
        orders.total_amount,
        items.items_amount
    from orders
    left join items
        on orders.order_id = items.order_id
    where orders.total_amount <> coalesce(items.items_amount, 0)

)

select * from differing
