with products as (

    select * from {{ ref('stg_commerce__products') }}

),

sales as (

    select * from {{ ref('stg_commerce__sales') }}

),

customer_logs as (

    select * from {{ ref('stg_commerce__customer_logs') }}

),

mentioned as (

    select product_id from products
    union distinct
    select product_id from sales
    union distinct
    select product_id from customer_logs
    where product_id is not null

),

described as (

    select
        mentioned.product_id,
        coalesce(products.product_name, 'unknown') as product_name,
        coalesce(products.category, 'unknown') as category,
        products.brand,
        products.price as current_price,
        products.active as is_active,
        products.product_id is not null as is_in_catalog,
        products.snapshot_at
    from mentioned
    left join products
        on mentioned.product_id = products.product_id

)

select * from described
