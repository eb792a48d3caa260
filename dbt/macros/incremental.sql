{# From when on an incremental run reads rows, by the time at which they were loaded; all rows if the model has none. #}
{% macro loaded_until() %}
    (
        select
            coalesce(
                {{ add_minutes('max(last_ingested_at)', -var('overlap_minutes')) }},
                cast('0001-01-02 00:00:00+00:00' as {{ type_instant() }})
            )
        from {{ this }}
    )
{%- endmacro %}
