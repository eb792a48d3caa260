{# Event type -> its table, and column of this model -> column of that table. #}
{%- set types = {
    'user_login': ('user_logins', {'login_method': 'method'}),
    'user_logout': ('user_logouts', {}),
    'document_created': ('documents_created', {
        'document_id': 'document_id', 'title': 'title', 'word_count': 'word_count',
    }),
    'document_edit': ('document_edits', {
        'document_id': 'document_id', 'title': 'title', 'word_count': 'word_count',
        'words_added': 'changes_words_added', 'words_removed': 'changes_words_removed',
    }),
    'comment_added': ('comments_added', {
        'document_id': 'document_id', 'comment_id': 'comment_id', 'mentions': 'mentions',
    }),
    'document_shared': ('documents_shared', {
        'document_id': 'document_id', 'permission': 'permission', 'shared_with': 'shared_with',
    }),
} -%}
{%- set columns = {
    'document_id': 'string', 'title': 'string', 'word_count': 'integer', 'words_added': 'integer',
    'words_removed': 'integer', 'comment_id': 'string', 'permission': 'string', 'login_method': 'string',
    'mentions': 'array', 'shared_with': 'array',
} -%}
with
{% for event_type, (table, _) in types.items() %}
{{ table }} as (

    select
        {{ context['collaboration__' ~ event_type ~ '_columns']() }}
    from {{ source('collaboration', table) }}
    where {{ 'true' if target.type == 'sqlite' else loaded_before_run('collaboration', 'timestamp') }}

),
{% endfor %}
unioned as (
    {% for event_type, (table, own) in types.items() %}
    select
        {{ by_code_point('event_id') }} as event_id,
        {{ by_code_point('event_type') }} as event_type,
        timestamp as occurred_at,
        {{ by_code_point('user_id') }} as user_id,
        email,
        name as user_name,
        {{ by_code_point('session_id') }} as session_id,
        {%- for column, kind in columns.items() %}
        {{ own[column] if column in own else null_of(kind) }} as {{ column }},
        {%- endfor %}
        _event_id
    from {{ table }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}

),

ranked as (

    -- The event log compares events within a type and a day only, so an event that has another time or type in a
    -- repeat is here several times. The earliest one stays.
    select
        *,
        row_number() over (
            partition by event_id
            order by occurred_at, event_type, user_id, _event_id
        ) as repetition
    from unioned

),

events as (

    select
        event_id,
        event_type,
        occurred_at,
        {{ microseconds('occurred_at') }} as occurred_microseconds,
        {{ utc_date('occurred_at') }} as event_date,
        user_id,
        email,
        user_name,
        session_id,
        {{ by_code_point('document_id') }} as document_id,
        title,
        word_count,
        words_added,
        words_removed,
        comment_id,
        permission,
        login_method,
        mentions,
        shared_with
    from ranked
    where repetition = 1

)

select * from events
