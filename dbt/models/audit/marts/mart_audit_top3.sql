{{ config(materialized = 'view') }}

with daily as (

    select * from {{ ref('mart_audit_daily') }}

),

ranked as (

    select
        load_date,
        row_number() over (
            partition by load_date
            order by error_rate desc, nb_invalid desc, {{ by_code_point('file_name') }}
        ) as error_rank,
        file_name,
        error_rate,
        nb_invalid
    from daily
    where error_rate is not null

),

final as (

    select
        load_date,
        error_rank as {{ adapter.quote('RANK' if target.type == 'snowflake' else 'rank') }},
        file_name,
        error_rate,
        nb_invalid
    from ranked
    where error_rank <= 3

)

select * from final
