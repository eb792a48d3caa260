with users as (

    select * from {{ ref('users') }}

),

shares as (

    select
        user_id,
        document_id
    from {{ ref('events') }}
    where event_type = 'document_shared'

),

counted as (

    select
        users.user_id,
        count(distinct shares.document_id) as shared_documents
    from users
    left join shares
        on users.user_id = shares.user_id
    group by users.user_id

)

select * from counted
