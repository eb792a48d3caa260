{{
    config(
        unique_key = ['session_id', 'user_id'],
        cluster_by = ['user_id', 'session_id'],
    )
}}

with user_activity as (

    select * from {{ ref('stg_backend_events__user_activity') }}

),

{% if is_incremental() %}
touched as (

    select distinct
        metadata_session_id,
        user_id
    from user_activity
    where {{ loaded_since_last_build('backend_events') }}

),
{% endif %}

changed as (

    -- All events of each session that has a new one.
    select
        user_activity.*,
        row_number() over (
            partition by user_activity.metadata_session_id, user_activity.user_id
            order by
                user_activity.timestamp,
                case when user_activity.metadata_platform is null then 1 else 0 end,
                user_activity.metadata_platform
        ) as event_number
    from user_activity
    {% if is_incremental() %}
    inner join touched
        on
            user_activity.metadata_session_id = touched.metadata_session_id
            and user_activity.user_id = touched.user_id
    {% endif %}

),

sessions as (

    select
        metadata_session_id as session_id,
        user_id,
        max(case when event_number = 1 then metadata_platform end) as platform,
        min(timestamp) as started_at,
        max(timestamp) as ended_at,
        {{ seconds_between('min(timestamp)', 'max(timestamp)') }} as duration_seconds,
        count(*) as events,
        {% for activity in ['login', 'logout', 'view_product', 'add_to_cart', 'remove_from_cart'] %}
        cast(
            sum(case when activity_type = '{{ activity }}' then 1 else 0 end) as {{ dbt.type_bigint() }}
        ) as {{ activity }}_events,
        {% endfor %}
        max(_ingested_at) as last_ingested_at
    from changed
    group by metadata_session_id, user_id

)

select * from sessions
