with events as (

    select * from {{ ref('stg_collaboration__events') }}

),

occurrences as (

    select
        event_id,
        occurred_at,
        0 as position,
        user_id,
        email,
        user_name,
        occurred_at as active_at
    from events
    union all
    select
        event_id,
        occurred_at,
        {{ sluice_item_number() }} as position,
        {{ by_code_point(sluice_member(['item', 'user_id'], 'string')) }} as user_id,
        {{ sluice_member(['item', 'email'], 'string') }} as email,
        {{ null_of('string') }} as user_name,
        null as active_at
    from events
    {{ sluice_unnest('shared_with') }}
    where event_type = 'document_shared'
    union all
    select
        event_id,
        occurred_at,
        {{ sluice_item_number() }} as position,
        {{ by_code_point(text_item()) }} as user_id,
        {{ null_of('string') }} as email,
        {{ null_of('string') }} as user_name,
        null as active_at
    from events
    {{ sluice_unnest('mentions') }}
    where event_type = 'comment_added'

),

seen as (

    select
        user_id,
        min(occurred_at) as first_seen_at,
        max(active_at) as last_active_at
    from occurrences
    group by user_id

),

emails as (

    select
        user_id,
        {{ by_code_point(lower_case(trimmed("email"))) }} as email,
        row_number() over (
            partition by user_id
            order by occurred_at desc, event_id desc, position desc
        ) as age
    from occurrences
    where email like '%@%'

),

names as (

    select
        user_id,
        {{ trimmed('user_name') }} as name,
        row_number() over (
            partition by user_id
            order by occurred_at desc, event_id desc
        ) as age
    from occurrences
    where {{ trimmed('user_name') }} <> ''

),

users as (

    select
        seen.user_id,
        emails.email,
        names.name,
        seen.first_seen_at,
        seen.last_active_at
    from seen
    left join emails
        on
            seen.user_id = emails.user_id
            and emails.age = 1
    left join names
        on
            seen.user_id = names.user_id
            and names.age = 1

)

select * from users
