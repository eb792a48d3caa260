{# Which rows of a table of Sluice's a model reads: those of segments that were loaded before the latest run began, so
   that all models of a run see the same rows, whatever is loaded meanwhile. #}
{% macro loaded_before_run(domain, partitioned_by) %}
    {{- any_partition(partitioned_by) }}
    and _segment_id in (
        select segment_id
        from {{ source(domain, '_segments') }}
        where
            {{ any_partition('minute') }}
            and ingested_at < {{ latest_run_start() }}
    )
{%- endmacro %}

{# When this run of dbt began. #}
{% macro run_start() %}
    {{- "cast('" ~ run_started_at.strftime('%Y-%m-%d %H:%M:%S.%f+00:00') ~ "' as " ~ type_instant() ~ ')' -}}
{% endmacro %}

{# BigQuery rejects a query of Sluice's tables without a filter on the partition. All rows pass this filter. #}
{% macro any_partition(column) %}
    {{- adapter.quote(column) ~ " >= '0001-01-01'" if target.type == 'bigquery' else 'true' -}}
{% endmacro %}

{# The same for what dbt itself reads of a source: in tests of its columns and for its freshness. #}
{% macro bigquery__get_where_subquery(relation) %}
    {%- set where = config.get('where') or partition_filter_of(relation) -%}
    {{- return('(select * from ' ~ relation ~ ' where ' ~ where ~ ') as rows_tested' if where else relation) -}}
{% endmacro %}

{% macro bigquery__collect_freshness(source, loaded_at_field, filter) %}
    {{- return(default__collect_freshness(source, loaded_at_field, filter or partition_filter_of(source))) -}}
{% endmacro %}

{% macro partition_filter_of(relation) %}
    {%- for source in (graph.sources.values() if execute else []) if source.relation_name == relation | string -%}
        {{- return(any_partition(source.meta.partitioned_by)) -}}
    {%- endfor -%}
    {{- return('') -}}
{% endmacro %}

{# The config `partition_by` of a model with a row a day or more: BigQuery's; others have no need of it. #}
{% macro by_day(column) %}
    {{- return({'field': column, 'data_type': 'date'} if target.type == 'bigquery' else none) -}}
{% endmacro %}
