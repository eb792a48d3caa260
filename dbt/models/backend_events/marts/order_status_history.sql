{{
    config(
        unique_key = ['order_id', 'version'],
        cluster_by = ['order_id'],
    )
}}

with order_events as (

    select * from {{ ref('stg_backend_events__orders') }}

),

changed as (

    -- All events of each order that has a new one. A late event can shift an order's versions and add to them, but
    -- never lessen them; so the new ones replace all of the old ones.
    select * from order_events
    {% if is_incremental() %}
    where order_id in (select order_id from order_events where {{ loaded_since_last_build('backend_events') }})
    {% endif %}

),

compared as (

    select
        changed.*,
        lag(status) over (
            partition by order_id
            order by {{ order_of_events() }}
        ) as previous_status,
        max(_ingested_at) over (partition by order_id) as last_ingested_at
    from changed

),

versions as (

    select
        order_id,
        row_number() over (
            partition by order_id
            order by {{ order_of_events() }}
        ) as version,
        status,
        order_date as valid_from,
        lead(order_date) over (
            partition by order_id
            order by {{ order_of_events() }}
        ) as valid_to,
        _event_id as event_id,
        last_ingested_at
    from compared
    where
        previous_status is null
        or previous_status <> status

),

history as (

    select
        order_id,
        version,
        status,
        valid_from,
        valid_to,
        valid_to is null as is_current,
        event_id,
        last_ingested_at
    from versions

)

select * from history
