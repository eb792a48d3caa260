{{
    config(
        materialized = 'incremental',
        unique_key = 'sale_id',
        post_hook = "{{ record_build(this.identifier) }}",
        partition_by = by_day('sale_date'),
        cluster_by = ['product_id', 'user_id'],
    )
}}

with sales as (

    select * from {{ ref('stg_commerce__sales') }}

),

product_snapshots as (

    select * from {{ ref('stg_commerce__product_snapshots') }}

),

changed as (

    select * from sales
    {% if is_incremental() %}
    where
        {{ loaded_since_last_build('commerce') }}
        -- Their price may have come meanwhile.
        or sale_id in (select sale_id from {{ this }} where price_source in ('catalog', 'unknown'))
    {% endif %}

),

catalog_prices as (

    -- The price in force at the sale or, if the catalog did not know one yet, the first that it learned afterwards.
    select
        changed.sale_id,
        product_snapshots.price,
        row_number() over (
            partition by changed.sale_id
            order by
                case when product_snapshots.snapshot_at <= changed.sale_date then 0 else 1 end,
                case
                    when product_snapshots.snapshot_at <= changed.sale_date then product_snapshots.snapshot_at
                end desc,
                product_snapshots.snapshot_at
        ) as preference
    from changed
    inner join product_snapshots
        on changed.product_id = product_snapshots.product_id
    where
        changed.amount is null
        and changed.unit_price is null
        and changed.is_in_shop_currency
        and product_snapshots.price is not null

),

priced as (

    select
        changed.*,
        coalesce(changed.unit_price, catalog_prices.price) as effective_price,
        case
            when changed.amount is not null then 'booked'
            when changed.unit_price is not null then 'sale'
            when catalog_prices.price is not null then 'catalog'
            else 'unknown'
        end as price_source
    from changed
    left join catalog_prices
        on
            changed.sale_id = catalog_prices.sale_id
            and catalog_prices.preference = 1

),

final as (

    select
        sale_id,
        sale_day as sale_date,
        sale_date as sold_at,
        product_id,
        user_id,
        case when is_return then -abs(quantity) else quantity end as quantity,
        effective_price as unit_price,
        coalesce(currency, '{{ var("shop_currency") }}') as currency,
        is_in_shop_currency,
        is_return,
        price_source,
        {{ sale_revenue('effective_price') }} as revenue,
        _event_id as event_id,
        _ingested_at as last_ingested_at
    from priced

)

select * from final
