with daily as (

    select * from {{ ref('mart_audit_daily') }}

),

final as (

    -- Rows, not days: where a day has no row for the file, the window reaches further back.
    select
        load_date,
        file_name,
        error_rate,
        avg(error_rate) over (
            partition by file_name
            order by load_date
            rows between 6 preceding and current row
        ) as rolling_error_rate
    from daily

)

select * from final
