with raw_sales as (

    select * from {{ source('commerce', 'raw_sales_data') }}
    where {{ loaded_before_run('commerce', 'sale_date') }}

),

raw_logs as (

    select * from {{ source('commerce', 'customer_logs') }}
    where {{ loaded_before_run('commerce', 'timestamp') }}

),

raw_products as (

    select * from {{ source('commerce', 'product_catalog') }}
    where {{ loaded_before_run('commerce', 'snapshot_at') }}

),

segments as (

    select * from {{ source('commerce', '_segments') }}
    where
        {{ any_partition('minute') }}
        and ingested_at < {{ latest_run_start() }}

),

{% set counted = 'select count(*) from ' %}
{% set revenue_of = 'select coalesce(sum(revenue), 0) from ' %}
{% set logged = {
    'sales': ('sale', 'raw_sales_data', 'raw_sales'),
    'events': ('customer_log', 'customer_logs', 'raw_logs'),
    'products': ('product', 'product_catalog', 'raw_products'),
} %}
{% set checks = [] %}
{% for figure, (event_type, table, rows) in logged.items() %}
{#- What a segment says that it has brought. Rows of one that is just being loaded may come before it is noted. -#}
{% do checks.append({
    'figure': 'rows of ' ~ figure,
    'from': ('_segments', "select coalesce(sum(events), 0) from segments where event_type = '" ~ event_type ~ "'"),
    'to': (table, counted ~ rows ~ ' where _segment_id in (select segment_id from segments)'),
}) %}
{% endfor %}
{% do checks.extend([
    {
        'figure': 'rows of sales',
        'from': ('raw_sales_data', counted ~ 'raw_sales'),
        'explained': 'select count(*) - count(distinct case when ' ~ has_valid_sale_date()
            ~ ' then sale_id end) from raw_sales',
        'explanation': 'repeated exports and impossible dates',
        'to': ('stg_commerce__sales', counted ~ ref('stg_commerce__sales')),
    },
    {
        'figure': 'rows of sales',
        'from': ('stg_commerce__sales', counted ~ ref('stg_commerce__sales')),
        'to': ('fct_sales', counted ~ ref('fct_sales')),
    },
    {
        'figure': 'rows of sales',
        'from': ('fct_sales', counted ~ ref('fct_sales')),
        'explained': counted ~ ref('fct_sales') ~ ' where not is_in_shop_currency',
        'explanation': 'other currencies',
        'to': ('fct_daily_product_revenue', 'select coalesce(sum(sales), 0) from ' ~ ref('fct_daily_product_revenue')),
    },
    {
        'figure': 'revenue',
        'from': ('stg_commerce__sales', 'select coalesce(sum(' ~ sale_revenue('unit_price') ~ '), 0) from '
            ~ ref('stg_commerce__sales') ~ ' where is_in_shop_currency'),
        'explained': 'select -coalesce(sum(revenue), 0) from ' ~ ref('fct_sales') ~ " where price_source = 'catalog'",
        'explanation': 'prices from the catalog',
        'to': ('fct_sales', revenue_of ~ ref('fct_sales') ~ ' where is_in_shop_currency'),
    },
    {
        'figure': 'revenue',
        'from': ('fct_sales', revenue_of ~ ref('fct_sales') ~ ' where is_in_shop_currency'),
        'to': ('fct_daily_product_revenue', revenue_of ~ ref('fct_daily_product_revenue')),
    },
    {
        'figure': 'revenue',
        'from': ('fct_daily_product_revenue', revenue_of ~ ref('fct_daily_product_revenue')),
        'to': ('fct_product_revenue', revenue_of ~ ref('fct_product_revenue')),
    },
    {
        'figure': 'revenue',
        'from': ('fct_product_revenue', revenue_of ~ ref('fct_product_revenue')),
        'to': ('top_products_by_category', revenue_of ~ ref('top_products_by_category')),
    },
    {
        'figure': 'revenue',
        'from': ('fct_daily_product_revenue', revenue_of ~ ref('fct_daily_product_revenue')),
        'to': ('daily_product_performance', revenue_of ~ ref('daily_product_performance')),
    },
    {
        'figure': 'revenue',
        'from': ('fct_sales', revenue_of ~ ref('fct_sales') ~ ' where is_in_shop_currency'),
        'to': ('customer_activity', revenue_of ~ ref('customer_activity')),
    },
    {
        'figure': 'revenue',
        'from': ('fct_daily_product_revenue', revenue_of ~ ref('fct_daily_product_revenue')),
        'to': ('reporting_metrics', 'select coalesce(sum(value), 0) from ' ~ ref('reporting_metrics')
            ~ " where metric = 'revenue' and dimension = 'all'"),
    },
    {
        'figure': 'rows of events',
        'from': ('customer_logs', counted ~ 'raw_logs'),
        'explained': counted ~ 'raw_logs where not (' ~ is_possible('timestamp', var('first_event_date')) ~ ')',
        'explanation': 'impossible times',
        'to': ('stg_commerce__customer_logs', counted ~ ref('stg_commerce__customer_logs')),
    },
    {
        'figure': 'events',
        'from': ('stg_commerce__customer_logs', counted ~ ref('stg_commerce__customer_logs')),
        'to': ('customer_activity', 'select coalesce(sum(events), 0) from ' ~ ref('customer_activity')),
    },
    {
        'figure': 'events',
        'from': ('stg_commerce__customer_logs', counted ~ ref('stg_commerce__customer_logs')),
        'to': ('event_type_activity', 'select coalesce(sum(events), 0) from ' ~ ref('event_type_activity')),
    },
    {
        'figure': 'events',
        'from': ('stg_commerce__customer_logs', counted ~ ref('stg_commerce__customer_logs')),
        'to': ('reporting_metrics', 'select coalesce(sum(value), 0) from ' ~ ref('reporting_metrics')
            ~ " where metric = 'events' and dimension = 'all'"),
    },
    {
        'figure': 'rows of products',
        'from': ('product_catalog', counted ~ 'raw_products'),
        'explained': 'select count(*) - count(distinct case when '
            ~ is_possible('snapshot_at', var('first_event_date')) ~ ' then product_id end) from raw_products',
        'explanation': 'older snapshots and impossible times',
        'to': ('stg_commerce__products', counted ~ ref('stg_commerce__products')),
    },
]) %}

compared as (

    {% for check in checks %}
    select
        '{{ check.figure }}' as figure,
        '{{ check.from[0] }}' as from_relation,
        '{{ check.to[0] }}' as to_relation,
        cast(({{ check.from[1] }}) as {{ type_decimal() }}) as from_value,
        cast({{ '(' ~ check.explained ~ ')' if check.explained else 0 }} as {{ type_decimal() }}) as explained_value,
        '{{ check.explanation or 'nothing' }}' as explanation,
        cast(({{ check.to[1] }}) as {{ type_decimal() }}) as to_value
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

differences as (

    select
        figure,
        from_relation,
        to_relation,
        from_value,
        explained_value,
        explanation,
        to_value,
        from_value - explained_value - to_value as difference
    from compared

)

select * from differences
