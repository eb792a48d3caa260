with daily_revenue as (

    select * from {{ ref('fct_daily_product_revenue') }}

),

totals as (

    select
        product_id,
        category,
        min(sale_date) as first_sale_date,
        max(sale_date) as last_sale_date,
        count(*) as days_with_sales,
        cast(sum(sales) as {{ dbt.type_bigint() }}) as sales,
        cast(sum(units_sold) as {{ dbt.type_bigint() }}) as units_sold,
        cast(sum(units_returned) as {{ dbt.type_bigint() }}) as units_returned,
        cast(sum(gross_revenue) as {{ type_money() }}) as gross_revenue,
        cast(sum(returned_revenue) as {{ type_money() }}) as returned_revenue,
        cast(sum(revenue) as {{ type_money() }}) as revenue,
        cast(sum(sales_without_price) as {{ dbt.type_bigint() }}) as sales_without_price
    from daily_revenue
    group by product_id, category

)

select * from totals
