{# How a column of Sluice's tables, or a member of an object in one, is read; the generated macros call these.
   A uuid is read as text, so that keys compare and join alike everywhere. #}

{% macro sluice_column(name, kind) %}
    {%- set column = sluice_name(name) -%}
    {{ 'cast(' ~ column ~ ' as ' ~ sluice_type(kind) ~ ')' if kind == 'uuid' else column }}
{%- endmacro %}

{# Snowflake's tables have their names in upper case. #}
{% macro sluice_name(name) %}
    {{- adapter.quote(name | upper if target.type == 'snowflake' else name) -}}
{% endmacro %}

{% macro sluice_member(path, kind) %}
    {{- adapter.dispatch('sluice_member')(path, kind) -}}
{% endmacro %}

{% macro default__sluice_member(path, kind) %}
    {%- set members = [] -%}
    {%- for name in path -%}{%- do members.append(adapter.quote(name)) -%}{%- endfor -%}
    {%- set member = members | join('.') -%}
    {{ 'cast(' ~ member ~ ' as ' ~ sluice_type(kind) ~ ')' if kind == 'uuid' else member }}
{%- endmacro %}

{% macro postgres__sluice_member(path, kind) %}
    {%- set inner = [adapter.quote(path[0])] -%}
    {%- for name in path[1:-1] -%}{%- do inner.append("'" ~ name | replace("'", "''") ~ "'") -%}{%- endfor -%}
    {%- set value = inner | join(' -> ') -%}
    {%- if kind in ('array', 'json') -%}
        {{ value }} -> '{{ path[-1] | replace("'", "''") }}'
    {%- else -%}
        cast({{ value }} ->> '{{ path[-1] | replace("'", "''") }}' as {{ sluice_type(kind) }})
    {%- endif -%}
{%- endmacro %}

{% macro snowflake__sluice_member(path, kind) %}
    {%- set members = [] -%}
    {%- for name in path[1:] -%}{%- do members.append('"' ~ name ~ '"') -%}{%- endfor -%}
    {%- set member = ('element.value' if path[0] == 'item' else sluice_name(path[0])) ~ ':' ~ members | join('.') -%}
    {{ member if kind in ('array', 'json') else 'cast(' ~ member ~ ' as ' ~ sluice_type(kind) ~ ')' }}
{%- endmacro %}

{# What follows the table in `from`: its rows, one for each element of an array, as `item` and `item_index`. #}
{% macro sluice_unnest(column) %}
    {{- adapter.dispatch('sluice_unnest')(column) -}}
{% endmacro %}

{% macro default__sluice_unnest(column) -%}
    cross join unnest({{ column }}) with ordinality as element (item, item_index)
{%- endmacro %}

{% macro postgres__sluice_unnest(column) -%}
    cross join jsonb_array_elements({{ column }}) with ordinality as element (item, item_index)
{%- endmacro %}

{% macro bigquery__sluice_unnest(column) -%}
    cross join unnest({{ column }}) as item with offset as item_index
{%- endmacro %}

{% macro snowflake__sluice_unnest(column) -%}
    cross join lateral flatten(input => {{ column }}) as element
{%- endmacro %}

{# The number of an element in its array, from 1. #}
{% macro sluice_item_number() %}
    {{- {'bigquery': 'item_index + 1', 'snowflake': 'element.index + 1', 'sqlite': 'element.key + 1'}.get(target.type, 'item_index') -}}
{% endmacro %}
