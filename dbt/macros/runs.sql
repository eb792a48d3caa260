{# The log of runs: when each run of dbt began, with an empty `model`, and each run that built an incremental model. The
   views of staging read it, so one run moves all of them, whichever models it builds. Rows are only added. #}
{% macro run_log() %}
    {{- api.Relation.create(
        database = target.database,
        schema = env_var('SLUICE_STAGING_SCHEMA', 'staging'),
        identifier = '_dbt_runs',
    ) -}}
{% endmacro %}

{# When the latest run of dbt began, as the views of staging see it. #}
{% macro latest_run_start() -%}
    (select max(started_at) from {{ run_log() }} where model = '')
{%- endmacro %}

{# Before the first model: statements that create the log of runs and note this one. #}
{% macro create_run_log() %}
    {%- if execute and flags.WHICH in ('run', 'build') -%}
        {%- set schema = api.Relation.create(
            database = target.database,
            schema = env_var('SLUICE_STAGING_SCHEMA', 'staging'),
        ) -%}
        {%- if not adapter.check_schema_exists(schema.database, schema.schema) -%}
            {%- do adapter.create_schema(schema) -%}
        {%- endif -%}
        create table if not exists {{ run_log() }} (model {{ dbt.type_string() }}, started_at {{ type_instant() }})
    {%- endif -%}
{% endmacro %}

{% macro record_run() %}
    {%- if execute and flags.WHICH in ('run', 'build') -%}
        {{ record_build('') }}
    {%- endif -%}
{% endmacro %}

{# After an incremental model, in its transaction: notes that the model has what was loaded before this run. #}
{% macro record_build(model) -%}
    insert into {{ run_log() }} (model, started_at) values ('{{ model }}', {{ run_start() }})
{%- endmacro %}
