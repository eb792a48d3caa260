{{
    config(
        materialized = 'incremental',
        unique_key = ['load_date', 'file_name'],
        partition_by = by_day('load_date'),
        cluster_by = ['file_name'],
        post_hook = "{{ record_build(this.identifier) }}",
    )
}}

with events as (

    select * from {{ ref('stg_events') }}

),

transactions as (

    select * from {{ ref('stg_transactions') }}

),

empty_files as (

    select
        load_date,
        file_name,
        _ingested_at
    from {{ ref('stg_event_files') }}
    where not has_records

),

{% if is_incremental() %}
changed as (

    -- Files of a day with new events, and those with events of a transaction that came, or changed, meanwhile.
    select distinct
        load_date,
        file_name
    from events
    where
        {{ loaded_since_last_build('audit') }}
        or transaction_id in (
            select transaction_id
            from transactions
            where {{ loaded_since_last_build('audit') }}
        )

),
{% endif %}

judged as (

    select
        events.load_date,
        events.file_name,
        case
            when events.status = 'OK' and transactions.amount_sign >= 0 then 0
            else 1
        end as is_invalid,
        case
            when transactions._ingested_at > events._ingested_at then transactions._ingested_at
            else events._ingested_at
        end as last_ingested_at
    from events
    left join transactions
        on events.transaction_id = transactions.transaction_id
    {% if is_incremental() %}
    inner join changed
        on
            events.load_date = changed.load_date
            and events.file_name = changed.file_name
    {% endif %}

),

counted as (

    select
        load_date,
        file_name,
        count(*) as nb_total,
        sum(is_invalid) as nb_invalid,
        max(last_ingested_at) as last_ingested_at
    from judged
    group by load_date, file_name

),

with_records as (

    -- Not `events`: it would be read once more.
    select
        load_date,
        file_name
    from counted
    {% if is_incremental() %}
    union all
    select
        load_date,
        file_name
    from {{ this }}
    where nb_total > 0
    {% endif %}

),

with_empty_files as (

    select
        load_date,
        file_name,
        nb_total,
        nb_invalid,
        last_ingested_at
    from counted
    union all
    select
        empty_files.load_date,
        empty_files.file_name,
        0 as nb_total,
        0 as nb_invalid,
        max(empty_files._ingested_at) as last_ingested_at
    from empty_files
    left join with_records
        on
            empty_files.load_date = with_records.load_date
            and empty_files.file_name = with_records.file_name
    where with_records.load_date is null
    group by empty_files.load_date, empty_files.file_name

),

final as (

    select
        load_date,
        file_name,
        cast(nb_total as {{ dbt.type_bigint() }}) as nb_total,
        cast(nb_invalid as {{ dbt.type_bigint() }}) as nb_invalid,
        {{ audit_rate('nb_invalid', 'nb_total') }} as error_rate,
        last_ingested_at
    from with_empty_files

)

select * from final
