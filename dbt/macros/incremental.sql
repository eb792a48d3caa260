{# Which rows an incremental run reads: those of segments that were loaded since the model was built last. A first run
   that found no rows counts as well. The time of loading is that of `_segments`: rows that are loaded again, or late,
   keep their `_ingested_at`. #}
{% macro loaded_since_last_build(domain) %}
    _segment_id in (
        select segment_id
        from {{ source(domain, '_segments') }}
        where
            {{ any_partition('minute') }}
            and ingested_at >= (
                select
                    coalesce(
                        {{ add_minutes('max(started_at)', -var('overlap_minutes')) }},
                        cast('0001-01-01 00:00:00+00:00' as {{ type_instant() }})
                    )
                from {{ run_log() }}
                where model = '{{ this.identifier }}'
            )
    )
{%- endmacro %}
