with documents as (

    select * from {{ ref('documents') }}

),

ranked as (

    select
        row_number() over (order by edit_count desc, document_id) as position,
        document_id,
        title,
        edit_count
    from documents
    where edit_count > 0

)

select * from ranked
where position <= 10
