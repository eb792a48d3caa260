{# From when on an incremental run reads rows, by the time at which they were loaded. #}
{% macro loaded_until() %}
    (
        select {{ add_minutes('max(last_ingested_at)', -var('overlap_minutes')) }}
        from {{ this }}
    )
{%- endmacro %}
