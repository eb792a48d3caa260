-- What sales book, and quantity times price where they do not, is the revenue of the fact; a row here is a sale of
-- which staging and fact disagree. Prices from the catalog stand in the fact alone.
with sales as (

    select * from {{ ref('stg_commerce__sales') }}

),

facts as (

    select * from {{ ref('fct_sales') }}

),

compared as (

    select
        sales.sale_id,
        sales.amount,
        sales.quantity,
        sales.unit_price,
        facts.revenue
    from sales
    left join facts
        on sales.sale_id = facts.sale_id
    where
        facts.sale_id is null
        or abs(facts.revenue) <> round(abs(coalesce(sales.amount, sales.quantity * sales.unit_price)), 2)
        or (sales.quantity < 0 and facts.revenue > 0)
        or (facts.revenue is null and coalesce(sales.amount, sales.unit_price) is not null)

)

select * from compared
