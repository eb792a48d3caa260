with source as (

    select * from {{ source('commerce', 'raw_sales_data') }}

),

renamed as (

    select
        {{ commerce__sale_columns() }}
    from source
    where {{ loaded_before_run('commerce', 'sale_date') }}

),

valid as (

    select * from renamed
    where
        {{ has_valid_sale_date() }}

),

ranked as (

    select
        _event_id,
        row_number() over (
            partition by sale_id
            order by {{ order_of_exports(' desc') }}
        ) as recency
    from valid

),

latest as (

    select
        valid.*,
        {{ utc_date('valid.sale_date') }} as sale_day,
        {{ is_return() }} as is_return,
        coalesce(valid.currency, '{{ var("shop_currency") }}') = '{{ var("shop_currency") }}' as is_in_shop_currency
    from valid
    inner join ranked
        on valid._event_id = ranked._event_id
    where ranked.recency = 1

)

select * from latest
