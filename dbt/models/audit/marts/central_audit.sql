{{
    config(
        materialized = 'incremental',
        full_refresh = false,
        partition_by = by_day('load_date'),
    )
}}

{# Without a unique key, an incremental run appends. The table is history, so `--full-refresh` does not rebuild it. #}
with daily as (

    select * from {{ ref('mart_audit_daily') }}

),

worst as (

    select
        load_date,
        file_name as worst_file
    from {{ ref('mart_audit_top3') }}
    where {{ adapter.quote('RANK' if target.type == 'snowflake' else 'rank') }} = 1

),

hashed as (

    select
        daily.*,
        {{ audit_md5('file_name') }} || ':' || cast(nb_total as {{ dbt.type_string() }})
        || ':' || cast(nb_invalid as {{ dbt.type_string() }}) as row_text
    from daily

),

days as (

    select
        load_date,
        count(*) as nb_files,
        sum(nb_total) as nb_total,
        sum(nb_invalid) as nb_invalid,
        {{ audit_md5(audit_list('row_text')) }} as daily_hash
    from hashed
    group by load_date

),

{% if is_incremental() %}
numbered as (

    select
        load_date,
        revision,
        daily_hash,
        max(revision) over (partition by load_date) as last_revision
    from {{ this }}

),

latest as (

    select * from numbered
    where revision = last_revision

),
{% endif %}

final as (

    select
        days.load_date,
        {% if is_incremental() %}
        coalesce(latest.revision, 0) + 1 as revision,
        {% else %}
        cast(1 as {{ dbt.type_bigint() }}) as revision,
        {% endif %}
        days.nb_files,
        cast(days.nb_total as {{ dbt.type_bigint() }}) as nb_total,
        cast(days.nb_invalid as {{ dbt.type_bigint() }}) as nb_invalid,
        {{ audit_rate('days.nb_invalid', 'days.nb_total') }} as error_rate,
        worst.worst_file,
        days.daily_hash,
        {{ run_start() }} as audited_at
    from days
    left join worst
        on days.load_date = worst.load_date
    {% if is_incremental() %}
    left join latest
        on days.load_date = latest.load_date
    where latest.daily_hash is null or latest.daily_hash <> days.daily_hash
    {% endif %}

)

select * from final
