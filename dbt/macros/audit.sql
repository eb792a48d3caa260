{# How the texts of the audited files are read; the same rules are in spark/audit/cleaning.py. #}

{# A text without blanks around it; null if nothing is left, or `null` in any case. #}
{% macro audit_text(column) %}
    {%- set text = audit_trim(column) -%}
    case when lower({{ text }}) not in ('', 'null') then {{ text }} end
{%- endmacro %}

{% macro audit_trim(column) %}
    {{- adapter.dispatch('audit_trim')(column) -}}
{% endmacro %}

{% macro default__audit_trim(column) -%}
    trim({{ column }}, {{ audit_blanks() }})
{%- endmacro %}

{# DuckDB reads the list of blanks once a row, which is most of the time of an audit. A text is looked at first: one that
   begins and ends with a visible character of ASCII has nothing to trim. #}
{% macro duckdb__audit_trim(column) -%}
    case
        when ascii({{ column }}) between 33 and 126 and ascii(right({{ column }}, 1)) between 33 and 126
            then {{ column }}
        else {{ default__audit_trim(column) }}
    end
{%- endmacro %}

{# Every blank of Unicode (White_Space), and the separators of ASCII; trim alone removes U+0020 only. #}
{% macro audit_blanks() %}
    {{- adapter.dispatch('audit_blanks')() -}}
{% endmacro %}

{% macro default__audit_blanks() -%}
    '{{ "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000" }}'
{%- endmacro %}

{% macro postgres__audit_blanks() -%}
    U&'\0009\000a\000b\000c\000d\001c\001d\001e\001f\0020\0085\00a0\1680\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200a\2028\2029\202f\205f\3000'
{%- endmacro %}

{% macro bigquery__audit_blanks() -%}
    '\t\n\v\f\r\x1c\x1d\x1e\x1f \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000'
{%- endmacro %}

{% macro snowflake__audit_blanks() -%}
    '\t\n\u000b\f\r\u001c\u001d\u001e\u001f \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000'
{%- endmacro %}

{# Whether a text matches a pattern as a whole. #}
{% macro audit_matches(text, pattern) %}
    {{- adapter.dispatch('audit_matches')(text, pattern) -}}
{% endmacro %}

{% macro default__audit_matches(text, pattern) -%}
    regexp_full_match({{ text }}, '{{ pattern }}')
{%- endmacro %}

{% macro postgres__audit_matches(text, pattern) -%}
    {{ text }} ~ '^(?:{{ pattern }})$'
{%- endmacro %}

{% macro bigquery__audit_matches(text, pattern) -%}
    regexp_contains({{ text }}, r'^(?:{{ pattern }})$')
{%- endmacro %}

{% macro snowflake__audit_matches(text, pattern) -%}
    regexp_like({{ text }}, '{{ pattern }}')
{%- endmacro %}

{# A text in which what a pattern matches is replaced; the pattern occurs once. #}
{% macro audit_replace(text, pattern, replacement) %}
    {{- adapter.dispatch('audit_replace')(text, pattern, replacement) -}}
{% endmacro %}

{% macro default__audit_replace(text, pattern, replacement) -%}
    regexp_replace({{ text }}, '{{ pattern }}', '{{ replacement }}')
{%- endmacro %}

{% macro bigquery__audit_replace(text, pattern, replacement) -%}
    regexp_replace({{ text }}, r'{{ pattern }}', r'{{ replacement }}')
{%- endmacro %}

{% macro snowflake__audit_replace(text, pattern, replacement) -%}
    regexp_replace({{ text }}, '{{ pattern }}', '{{ replacement | replace("\\", "\\\\") }}')
{%- endmacro %}

{# Whether a text is a finite decimal number; -1, 0 or 1 for one, which may be larger than any type holds. #}
{% macro audit_is_number(text) -%}
    {{ audit_matches('upper(' ~ text ~ ')', '[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)(E[+-]?[0-9]+)?') }}
{%- endmacro %}

{% macro audit_number_sign(text) -%}
    case
        when {{ audit_is_number(text) }} then
            case
                when {{ audit_matches('upper(' ~ text ~ ')', '[+-]?[0.]+(E.*)?') }} then 0
                when {{ text }} like '-%' then -1
                else 1
            end
    end
{%- endmacro %}

{# The number in a text; null if it is none, or the type cannot hold it. #}
{% macro audit_number(text) %}
    cast(
        case when {{ audit_is_number(text) }} then {{ adapter.dispatch('audit_cast_number')(text) }} end
        as {{ type_decimal() }}
    )
{%- endmacro %}

{% macro default__audit_cast_number(text) -%}
    try_cast({{ text }} as {{ type_decimal() }})
{%- endmacro %}

{% macro postgres__audit_cast_number(text) -%}
    case
        when
            length({{ text }}) <= 60
            and {{ audit_matches('upper(' ~ text ~ ')', '[^E]*(E[+-]?[0-9]{1,3})?') }}
            and abs(cast({{ text }} as numeric)) < 1e28
            then cast({{ text }} as {{ type_decimal() }})
    end
{%- endmacro %}

{% macro bigquery__audit_cast_number(text) -%}
    safe_cast({{ text }} as {{ type_decimal() }})
{%- endmacro %}

{% macro snowflake__audit_cast_number(text) -%}
    try_to_decimal({{ text }}, 38, 9)
{%- endmacro %}

{# The instant in a text, without an offset in UTC; null if it is none. #}
{% macro audit_instant(text) %}
    {%- set upper = 'upper(' ~ text ~ ')' -%}
    {%- set pattern = '[0-9]{4}-[0-9]{2}-[0-9]{2}'
        ~ '([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?( ?(Z|[+-][0-9]{2}(:?[0-9]{2})?))?)?' -%}
    case
        when {{ audit_matches(upper, pattern) }}
            then {{ adapter.dispatch('audit_cast_instant')(audit_replace(upper, ' (Z|[+-])', '\\1')) }}
    end
{%- endmacro %}

{% macro default__audit_cast_instant(text) -%}
    try_cast({{ text }} as {{ type_instant() }})
{%- endmacro %}

{# PostgreSQL 15 cannot try a cast, so what it would reject is found before. #}
{% macro postgres__audit_cast_instant(text) -%}
    case
        when
            substr({{ text }}, 1, 4) <> '0000'
            and substr({{ text }}, 6, 2) between '01' and '12'
            and substr({{ text }}, 12, 2) <= '23'
            and substr({{ text }}, 15, 2) <= '59'
            and ({{ text }} !~ '^.{16}:[6-9]')
            and ({{ text }} !~ '^.{11}.*[+-](1[6-9]|[2-9][0-9])')
            and ({{ text }} !~ '^.{11}.*[+-][0-9]{2}:?[6-9]')
            then
                case
                    when
                        cast(substr({{ text }}, 9, 2) as integer) between 1 and extract(
                            day from cast(substr({{ text }}, 1, 7) || '-01' as date) + interval '1 month - 1 day'
                        )
                        then cast({{ text }} as {{ type_instant() }})
                end
    end
{%- endmacro %}

{% macro bigquery__audit_cast_instant(text) -%}
    safe_cast({{ text }} as {{ type_instant() }})
{%- endmacro %}

{% macro snowflake__audit_cast_instant(text) -%}
    try_to_timestamp_tz({{ text }})
{%- endmacro %}

{# The name of the file at an address, as the audit calls its records: without `events_<date>_` and without `.gz`. #}
{% macro audit_file_name(address) -%}
    {{- adapter.dispatch('audit_file_name')(address) -}}
{%- endmacro %}

{% macro default__audit_file_name(address) -%}
    {%- set name = audit_replace(address, '^.*/', '') -%}
    {%- set unpacked = audit_replace(name, '[.]gz$', '') -%}
    {{ audit_replace(unpacked, '^events_([0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8})_', '') }}
{%- endmacro %}

{# DuckDB does a function of a column once for each of its few values, but not a function of a function. #}
{% macro duckdb__audit_file_name(address) -%}
    {{ audit_replace(address, '(?s)^(?:.*/)?(?:events_(?:[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8})_)?(.*?)(?:[.]gz)?$', '\\1') }}
{%- endmacro %}

{# A share as a double; null if there is nothing to have a share of. #}
{% macro audit_rate(part, whole) -%}
    cast({{ part }} as {{ type_double() }}) / nullif({{ whole }}, 0)
{%- endmacro %}

{# One text for all values of a group, in their order. #}
{% macro audit_list(value) %}
    {{- adapter.dispatch('audit_list')(value) -}}
{% endmacro %}

{% macro default__audit_list(value) -%}
    string_agg({{ value }}, ',' order by {{ by_code_point(value) }})
{%- endmacro %}

{% macro snowflake__audit_list(value) -%}
    listagg({{ value }}, ',') within group (order by {{ value }})
{%- endmacro %}

{% macro audit_md5(text) -%}
    {{ 'to_hex(md5(' ~ text ~ '))' if target.type == 'bigquery' else 'md5(' ~ text ~ ')' }}
{%- endmacro %}
