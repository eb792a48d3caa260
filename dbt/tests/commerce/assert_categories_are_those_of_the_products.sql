-- Facts carry the category of the product; a row here is one that is not that of `dim_products`.
with products as (

    select * from {{ ref('dim_products') }}

),

carried as (

    select
        product_id,
        category
    from {{ ref('fct_daily_product_revenue') }}
    union distinct
    select
        product_id,
        category
    from {{ ref('fct_product_revenue') }}

),

differing as (

    select
        carried.product_id,
        carried.category
    from carried
    left join products
        on carried.product_id = products.product_id
    where products.category is null or products.category <> carried.category

)

select * from differing
