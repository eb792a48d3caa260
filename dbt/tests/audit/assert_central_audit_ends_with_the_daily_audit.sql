-- The last revision of each day says what mart_audit_daily says; a row here is a day of which they disagree.
with daily as (

    select
        load_date,
        count(*) as nb_files,
        sum(nb_total) as nb_total,
        sum(nb_invalid) as nb_invalid
    from {{ ref('mart_audit_daily') }}
    group by load_date

),

central as (

    select
        central_audit.*,
        max(revision) over (partition by load_date) as last_revision
    from {{ ref('central_audit') }} as central_audit

),

compared as (

    select daily.load_date
    from daily
    left join central
        on
            daily.load_date = central.load_date
            and central.revision = central.last_revision
    where
        central.load_date is null
        or daily.nb_files <> central.nb_files
        or daily.nb_total <> central.nb_total
        or daily.nb_invalid <> central.nb_invalid

)

select * from compared
