{{ config(severity = 'warn') }}

-- These sales are in `fct_sales`, but in no sum: the marts hold the currency of the shop alone.
with sales as (

    select * from {{ ref('fct_sales') }}

),

foreign_sales as (

    select
        sale_id,
        currency,
        revenue
    from sales
    where not is_in_shop_currency

)

select * from foreign_sales
