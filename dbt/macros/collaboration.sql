{# What differs between PostgreSQL, DuckDB and SQLite in the models of collaboration. SQLite is built without dbt, from
   the same files (examples/collaboration/sqlite_build.py); the variants `sqlite__…` are for it. #}

{# White space as Unicode has it, which texts are trimmed of. #}
{% macro trimmed(text) -%}
    trim({{ text }}, '{{ "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000" }}')
{%- endmacro %}

{# Lower case of all alphabets: PostgreSQL's own depends on the database. #}
{% macro lower_case(text) %}
    {{- 'lower(' ~ text ~ (' collate "und-x-icu")' if target.type == 'postgres' else ')') -}}
{% endmacro %}

{# A text that compares and sorts by code point, wherever it is used. #}
{% macro by_code_point(text) %}
    {{- text ~ ' collate "C"' if target.type == 'postgres' else text -}}
{% endmacro %}

{# Microseconds since 1970, exact. #}
{% macro microseconds(instant) %}
    {{- adapter.dispatch('microseconds')(instant) -}}
{% endmacro %}

{% macro default__microseconds(instant) -%}
    epoch_us({{ instant }})
{%- endmacro %}

{% macro postgres__microseconds(instant) -%}
    cast(extract(epoch from {{ instant }}) * 1000000 as bigint)
{%- endmacro %}

{% macro sqlite__microseconds(instant) -%}
    (cast(strftime('%s', substr({{ instant }}, 1, 19)) as integer) * 1000000 + cast(substr({{ instant }}, 21, 6) as integer))
{%- endmacro %}

{# Seconds between two instants that are given in microseconds, with fractions. #}
{% macro seconds_of(microseconds) -%}
    cast({{ microseconds }} as {{ 'real' if target.type == 'sqlite' else 'float8' }}) / 1000000
{%- endmacro %}

{% macro sqlite__utc_date(instant) -%}
    substr({{ instant }}, 1, 10)
{%- endmacro %}

{# The day of the week, from 1 for Monday to 7 for Sunday. #}
{% macro weekday(day) %}
    {{- adapter.dispatch('weekday')(day) -}}
{% endmacro %}

{% macro default__weekday(day) -%}
    extract(isodow from {{ day }})
{%- endmacro %}

{% macro sqlite__weekday(day) -%}
    ((cast(strftime('%w', {{ day }}) as integer) + 6) % 7 + 1)
{%- endmacro %}

{% macro weekday_name(day) -%}
    case {{ weekday(day) }}
        {%- for name in ('Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday') %}
        when {{ loop.index }} then '{{ name }}'
        {%- endfor %}
    end
{%- endmacro %}

{# The day some days before or, if they are negative, after another. #}
{% macro days_before(day, days) -%}
    {{ 'date(' ~ day ~ ", cast(-(" ~ days ~ ") as text) || ' days')" if target.type == 'sqlite' else day ~ ' - cast(' ~ days ~ ' as integer)' }}
{%- endmacro %}

{# Whole days from one day to a later one. #}
{% macro days_between(first, last) -%}
    {{ 'cast(julianday(' ~ last ~ ') - julianday(' ~ first ~ ') as integer)' if target.type == 'sqlite' else '(' ~ last ~ ' - ' ~ first ~ ')' }}
{%- endmacro %}

{# The number of elements of an array; null without an array. #}
{% macro array_length(column) -%}
    {{ {'postgres': 'jsonb_array_length', 'sqlite': 'json_array_length'}.get(target.type, 'len') }}({{ column }})
{%- endmacro %}

{# An element of an unnested array of texts. #}
{% macro text_item() %}
    {{- {'postgres': "item #>> '{}'", 'sqlite': 'element.value'}.get(target.type, 'item') -}}
{% endmacro %}

{% macro sqlite__sluice_unnest(column) -%}
    cross join json_each({{ column }}) as element
{%- endmacro %}

{% macro sqlite__sluice_member(path, kind) %}
    {%- set column = 'element.value' if path[0] == 'item' else adapter.quote(path[0]) -%}
    json_extract({{ column }}, '$."{{ path[1:] | join('"."') }}"')
{%- endmacro %}

{# Null of a type, as a union in PostgreSQL needs it. #}
{% macro null_of(kind) %}
    {%- if target.type == 'postgres' -%}cast(null as {{ {'array': 'jsonb', 'integer': 'bigint'}.get(kind, 'text') }})
    {%- else -%}null
    {%- endif -%}
{% endmacro %}

{# The instant twelve hours before another; SQLite's comes without a fraction. #}
{% macro half_day_before(instant) -%}
    {{ "datetime(" ~ instant ~ ", '-12 hours')" if target.type == 'sqlite' else '(' ~ instant ~ " - interval '12 hours')" }}
{%- endmacro %}

{% macro text_type() -%}
    {{ 'text' if target.type == 'sqlite' else 'varchar' }}
{%- endmacro %}
