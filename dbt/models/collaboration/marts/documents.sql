with events as (

    select * from {{ ref('stg_collaboration__events') }}
    where document_id is not null

),

-- So that the documents are built after those who own them.
users as (

    select user_id from {{ ref('users') }}

),

seen as (

    select
        document_id,
        min(occurred_at) as first_seen_at,
        max(case when event_type = 'document_edit' then occurred_at end) as last_edited_at,
        sum(case when event_type = 'document_edit' then 1 else 0 end) as edit_count,
        sum(case when event_type = 'comment_added' then 1 else 0 end) as comment_count
    from events
    group by document_id

),

titles as (

    select
        document_id,
        title,
        row_number() over (
            partition by document_id
            order by occurred_at desc, event_id desc
        ) as age
    from events
    where {{ trimmed('title') }} <> ''

),

word_counts as (

    select
        document_id,
        word_count,
        row_number() over (
            partition by document_id
            order by occurred_at desc, event_id desc
        ) as age
    from events
    where word_count is not null

),

creations as (

    select
        document_id,
        user_id as owner_id,
        occurred_at as created_at,
        row_number() over (
            partition by document_id
            order by occurred_at, event_id
        ) as creation
    from events
    where event_type = 'document_created'

),

documents as (

    select
        seen.document_id,
        titles.title,
        users.user_id as owner_id,
        creations.created_at,
        seen.first_seen_at,
        seen.last_edited_at,
        word_counts.word_count,
        seen.edit_count,
        seen.comment_count
    from seen
    left join titles
        on
            seen.document_id = titles.document_id
            and titles.age = 1
    left join word_counts
        on
            seen.document_id = word_counts.document_id
            and word_counts.age = 1
    left join creations
        on
            seen.document_id = creations.document_id
            and creations.creation = 1
    left join users
        on creations.owner_id = users.user_id

)

select * from documents
