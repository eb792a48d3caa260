{# Whether something can have happened when it says. It cannot be known before it happened; a day is allowed for, since
   a date without a time may be of any time zone. #}
{% macro is_possible(instant, first_day) %}
    {{ instant }} >= cast('{{ first_day }} 00:00:00+00:00' as {{ type_instant() }})
    and {{ instant }} <= {{ add_minutes('_ingested_at', 24 * 60) }}
{%- endmacro %}

{# All days from one to another, both columns of `bounds`, as `date_day`. #}
{% macro calendar_days(first, last, bounds) %}
    {{- adapter.dispatch('calendar_days')(first, last, bounds) -}}
{% endmacro %}

{% macro default__calendar_days(first, last, bounds) -%}
    select cast(date_day as date) as date_day
    from {{ bounds }}
    cross join unnest(generate_series({{ first }}, {{ last }}, interval '1 day')) as days (date_day)
{%- endmacro %}

{% macro postgres__calendar_days(first, last, bounds) -%}
    select cast(days.date_day as date) as date_day
    from {{ bounds }}
    cross join generate_series(
        cast({{ first }} as timestamp), cast({{ last }} as timestamp), interval '1 day'
    ) as days (date_day)
{%- endmacro %}

{% macro bigquery__calendar_days(first, last, bounds) -%}
    select date_day
    from {{ bounds }}
    cross join unnest(generate_date_array({{ first }}, {{ last }})) as date_day
{%- endmacro %}

{% macro snowflake__calendar_days(first, last, bounds) -%}
    select cast(dateadd(day, days.value, {{ first }}) as date) as date_day
    from {{ bounds }}
    cross join lateral flatten(
        input => array_generate_range(0, datediff(day, {{ first }}, {{ last }}) + 1)
    ) as days
{%- endmacro %}

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
