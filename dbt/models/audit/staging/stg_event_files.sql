with files as (

    select * from {{ source('audit', 'audit_files') }}

),

renamed as (

    select
        {{ audit__audit_file_columns() }}
    from files
    where {{ loaded_before_run('audit', 'load_date') }}

),

sources as (

    select distinct _source
    from {{ source('audit', 'audit_events') }}
    where {{ loaded_before_run('audit', 'load_date') }}

),

final as (

    select
        {{ utc_date('renamed.load_date') }} as load_date,
        {{ audit_file_name('renamed.address') }} as file_name,
        renamed.address,
        sources._source is not null as has_records,
        renamed._ingested_at
    from renamed
    left join sources
        on renamed.address = sources._source

)

select * from final
