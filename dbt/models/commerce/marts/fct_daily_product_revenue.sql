{{
    config(
        partition_by = by_day('sale_date'),
        cluster_by = ['product_id'],
    )
}}

with sales as (

    select * from {{ ref('fct_sales') }}

),

products as (

    select * from {{ ref('dim_products') }}

),

daily as (

    select
        sale_date,
        product_id,
        count(*) as sales,
        cast(sum(case when is_return then 0 else quantity end) as {{ dbt.type_bigint() }}) as units_sold,
        cast(sum(case when is_return then -quantity else 0 end) as {{ dbt.type_bigint() }}) as units_returned,
        cast(coalesce(sum(case when not is_return then revenue end), 0) as {{ type_money() }}) as gross_revenue,
        cast(coalesce(sum(case when is_return then -revenue end), 0) as {{ type_money() }}) as returned_revenue,
        cast(coalesce(sum(revenue), 0) as {{ type_money() }}) as revenue,
        cast(sum(case when price_source = 'unknown' then 1 else 0 end) as {{ dbt.type_bigint() }}) as sales_without_price
    from sales
    where is_in_shop_currency
    group by sale_date, product_id

),

categorised as (

    select
        daily.sale_date,
        daily.product_id,
        products.category,
        daily.sales,
        daily.units_sold,
        daily.units_returned,
        daily.gross_revenue,
        daily.returned_revenue,
        daily.revenue,
        daily.sales_without_price
    from daily
    inner join products
        on daily.product_id = products.product_id

)

select * from categorised
