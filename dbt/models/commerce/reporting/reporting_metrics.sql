{#
    Only figures that are new or have changed are written, so that `updated_at` says since when a figure is what it is,
    and the table that Terraform made stays. One that nothing is behind any more becomes 0, and those have no row.
#}
{{
    config(
        materialized = 'incremental',
        unique_key = ['metric_date', 'metric', 'dimension', 'dimension_value'],
        post_hook = 'delete from {{ this }} where value = 0',
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
        cast({{ measure }} as {{ type_decimal() }}) as part
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
        cast(1 as {{ type_decimal() }}) as part
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
        cast(sum(part) as {{ type_decimal() }}) as value
    from figures
    group by metric_date, metric, dimension, dimension_value
    having sum(part) <> 0

),

{% if is_incremental() %}
written as (

    select * from {{ this }}

),

changed as (

    select
        coalesce(summed.metric_date, written.metric_date) as metric_date,
        coalesce(summed.metric, written.metric) as metric,
        coalesce(summed.dimension, written.dimension) as dimension,
        coalesce(summed.dimension_value, written.dimension_value) as dimension_value,
        cast(coalesce(summed.value, 0) as {{ type_decimal() }}) as value
    from summed
    full join written
        on
            summed.metric_date = written.metric_date
            and summed.metric = written.metric
            and summed.dimension = written.dimension
            and summed.dimension_value = written.dimension_value
    where
        written.value is null
        or written.value <> coalesce(summed.value, 0)

),
{% endif %}

dated as (

    select
        metric_date,
        metric,
        dimension,
        dimension_value,
        value,
        {{ run_start() }} as updated_at
    from {{ 'changed' if is_incremental() else 'summed' }}

)

select * from dated
