-- Each relation that shows revenue shows the same, for each product; a row here is a product of which two disagree,
-- or which one does not show.
{% set relations = {
    'fct_sales': "select product_id, sum(revenue) as revenue from " ~ ref('fct_sales')
        ~ " where is_in_shop_currency group by product_id",
    'fct_daily_product_revenue': "select product_id, sum(revenue) as revenue from "
        ~ ref('fct_daily_product_revenue') ~ " group by product_id",
    'fct_product_revenue': "select product_id, revenue from " ~ ref('fct_product_revenue'),
    'daily_product_performance': "select product_id, sum(revenue) as revenue from "
        ~ ref('daily_product_performance') ~ " group by product_id",
    'top_products_by_category': "select product_id, revenue from " ~ ref('top_products_by_category'),
    'reporting_metrics': "select dimension_value as product_id, sum(value) as revenue from "
        ~ ref('reporting_metrics') ~ " where metric = 'revenue' and dimension = 'product_id' group by dimension_value",
} %}

with shown as (

    {% for name, query in relations.items() %}
    select
        '{{ name }}' as relation_name,
        product_id,
        coalesce(revenue, 0) as revenue
    from ({{ query }}) as {{ name }}_totals
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

compared as (

    select
        product_id,
        min(revenue) as least,
        max(revenue) as most,
        count(*) as relations_that_show_it
    from shown
    group by product_id
    having
        min(revenue) <> max(revenue)
        or (count(*) < {{ relations | length }} and max(abs(revenue)) > 0)

)

select * from compared
