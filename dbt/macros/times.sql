{# The UTC day of an instant. #}
{% macro utc_date(instant) %}
    {{- adapter.dispatch('utc_date')(instant) -}}
{% endmacro %}

{% macro default__utc_date(instant) -%}
    cast({{ instant }} at time zone 'UTC' as date)
{%- endmacro %}

{% macro bigquery__utc_date(instant) -%}
    date({{ instant }}, 'UTC')
{%- endmacro %}

{% macro snowflake__utc_date(instant) -%}
    to_date(convert_timezone('UTC', {{ instant }}))
{%- endmacro %}

{# Whole seconds from one instant to a later one. #}
{% macro seconds_between(first, last) %}
    {{- adapter.dispatch('seconds_between')(first, last) -}}
{% endmacro %}

{% macro default__seconds_between(first, last) -%}
    cast(floor(extract(epoch from {{ last }}) - extract(epoch from {{ first }})) as {{ dbt.type_bigint() }})
{%- endmacro %}

{% macro bigquery__seconds_between(first, last) -%}
    timestamp_diff({{ last }}, {{ first }}, second)
{%- endmacro %}

{% macro snowflake__seconds_between(first, last) -%}
    floor(timestampdiff(microsecond, {{ first }}, {{ last }}) / 1000000)
{%- endmacro %}

{# An instant some minutes later, or earlier if they are negative. #}
{% macro add_minutes(instant, minutes) %}
    {{- adapter.dispatch('add_minutes')(instant, minutes) -}}
{% endmacro %}

{% macro default__add_minutes(instant, minutes) -%}
    {{ instant }} + interval '{{ minutes }} minutes'
{%- endmacro %}

{% macro bigquery__add_minutes(instant, minutes) -%}
    timestamp_add({{ instant }}, interval {{ minutes }} minute)
{%- endmacro %}

{% macro snowflake__add_minutes(instant, minutes) -%}
    timestampadd(minute, {{ minutes }}, {{ instant }})
{%- endmacro %}
