with product_revenue as (

    select * from {{ ref('fct_product_revenue') }}

),

products as (

    select * from {{ ref('dim_products') }}

),

ranked as (

    select
        product_revenue.category,
        rank() over (
            partition by product_revenue.category
            order by product_revenue.revenue desc
        ) as revenue_rank,
        product_revenue.product_id,
        products.product_name,
        product_revenue.revenue,
        product_revenue.units_sold - product_revenue.units_returned as units,
        product_revenue.sales
    from product_revenue
    inner join products
        on product_revenue.product_id = products.product_id

)

select * from ranked
