-- The events behind each mart are all events; a row here is a mart that counts too many or too few.
{% set marts = {
    'orders': 'stg_backend_events__orders',
    'stock_levels': 'stg_backend_events__inventory',
    'user_sessions': 'stg_backend_events__user_activity',
} %}

with counted as (

    {% for mart, staged in marts.items() %}
    select
        '{{ mart }}' as mart,
        (select count(*) from {{ ref(staged) }}) as staged_events,
        (select coalesce(sum(events), 0) from {{ ref(mart) }}) as mart_events
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

differing as (

    select * from counted
    where staged_events <> mart_events

)

select * from differing
