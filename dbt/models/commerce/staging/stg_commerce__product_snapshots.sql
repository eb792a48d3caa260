with source as (

    select * from {{ source('commerce', 'product_catalog') }}

),

renamed as (

    select
        {{ commerce__product_columns() }}
    from source
    where {{ loaded_before_run('snapshot_at') }}

)

select * from renamed
