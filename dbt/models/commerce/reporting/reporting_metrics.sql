{{
    config(
        partition_by = by_day('metric_date'),
        cluster_by = ['metric', 'dimension', 'dimension_value'],
    )
}}

with daily_revenue as (

    select * from {{ ref('fct_daily_product_revenue') }}

),

customer_logs as (

    select * from {{ ref('stg_commerce__customer_logs') }}

),

{% set measures = ['revenue', 'sales', 'units_sold', 'units_returned'] %}
{% set dimensions = {'product_id': 'product_id', 'category': 'category', 'all': "'all'"} %}
{% set event_dimensions = {'user_id': 'user_id', 'event_type': 'event_type', 'all': "'all'"} %}

figures as (

    {% for measure in measures %}
    {% for dimension, expression in dimensions.items() %}
    select
        sale_date as metric_date,
        '{{ measure }}' as metric,
        '{{ dimension }}' as dimension,
        {{ expression }} as dimension_value,
        cast({{ measure }} as {{ type_decimal() }}) as value
    from daily_revenue
    union all
    {% endfor %}
    {% endfor %}
    {% for dimension, expression in event_dimensions.items() %}
    select
        event_day as metric_date,
        'events' as metric,
        '{{ dimension }}' as dimension,
        {{ expression }} as dimension_value,
        cast(1 as {{ type_decimal() }}) as value
    from customer_logs
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

summed as (

    select
        metric_date,
        metric,
        dimension,
        dimension_value,
        cast(sum(value) as {{ type_decimal() }}) as value,
        {{ run_start() }} as updated_at
    from figures
    group by metric_date, metric, dimension, dimension_value

)

select * from summed
