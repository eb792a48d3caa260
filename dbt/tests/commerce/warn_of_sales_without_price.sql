{{ config(severity = 'warn') }}

-- Neither the sale nor the catalog knows a price of these yet; their revenue is missing.
with sales as (

    select * from {{ ref('fct_sales') }}

),

unpriced as (

    select
        sale_id,
        product_id,
        quantity
    from sales
    where
        price_source = 'unknown'
        and is_in_shop_currency

)

select * from unpriced
