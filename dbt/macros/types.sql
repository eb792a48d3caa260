{# The types of a contract as types of the warehouse; see docs/contracts.md. #}

{% macro sluice_type(kind) %}
    {%- if kind in ('string', 'uuid') -%}{{ dbt.type_string() }}
    {%- elif kind == 'integer' -%}{{ dbt.type_bigint() }}
    {%- elif kind == 'float' -%}{{ dbt.type_float() }}
    {%- elif kind == 'boolean' -%}{{ dbt.type_boolean() }}
    {%- elif kind == 'timestamp' -%}{{ type_instant() }}
    {%- elif kind == 'date' -%}date
    {%- elif kind == 'decimal' -%}{{ type_decimal() }}
    {%- else -%}{{ exceptions.raise_compiler_error("expected a kind that has a type, got " ~ kind) }}
    {%- endif -%}
{% endmacro %}

{# An instant, independent of time zones. #}
{% macro type_instant() %}
    {{- 'timestamp' if target.type == 'bigquery' else 'timestamp_tz' if target.type == 'snowflake' else 'timestamptz' -}}
{% endmacro %}

{# Exact to nine decimals, as the contracts say. #}
{% macro type_decimal() %}
    {{- 'numeric' if target.type == 'bigquery' else 'numeric(38, 9)' -}}
{% endmacro %}

{# 64 bits; dbt's own type_float is one of 32 bits on DuckDB. #}
{% macro type_double() %}
    {{- {'bigquery': 'float64', 'postgres': 'double precision'}.get(target.type, 'double') -}}
{% endmacro %}

{# Money to the cent. #}
{% macro type_money() %}
    {{- 'numeric' if target.type == 'bigquery' else 'numeric(38, 2)' -}}
{% endmacro %}
