{# A table whose primary and foreign keys are constraints of the database, and stay while its rows change.

   It is created once. Each run computes all its rows anew, also with --full-refresh: it deletes those that are gone,
   inserts those that are new, and updates those that differ, in one transaction. So a second run writes nothing, and
   other tables, whose foreign keys refer to it, keep them. Only when columns change is it created again; then its own
   foreign keys and those to it are added again. A row whose reference is gone goes with it (on delete cascade).

   Columns with `data_type` and the constraint `primary_key` come from the model's yml, foreign keys from its
   `meta.foreign_keys`: column -> table. A foreign key refers to the primary key of that model. #}

{% materialization keyed_table, adapter='postgres' %}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set existing = load_cached_relation(this) -%}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {%- if existing is not none and (not existing.is_table or not has_columns(existing, model.columns)) -%}
        {{ drop_relation_if_exists(existing) }}
    {%- endif -%}
    {%- call statement('main') -%}
        {{ create_keyed_table(target_relation, model.columns, {}) }};
        create temporary table rows_of_now on commit drop as (
            {{ sql }}
        );
        analyze rows_of_now;
        {{ replace_rows(target_relation, model.columns) }};
        {{ add_foreign_keys() }}
    {%- endcall -%}
    {%- do persist_docs(target_relation, model) -%}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {%- do adapter.commit() -%}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}

{# DuckDB cannot add a foreign key to a table, nor replace a table that another refers to: it has primary keys only. #}
{% materialization keyed_table, adapter='duckdb' %}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set existing = load_cached_relation(this) -%}
    {{ run_hooks(pre_hooks) }}
    {%- if existing is not none and (not existing.is_table or not has_columns(existing, model.columns)) -%}
        {{ drop_relation_if_exists(existing) }}
    {%- endif -%}
    {%- call statement('main') -%}
        {{ create_keyed_table(target_relation, model.columns, {}) }};
        create or replace temporary table rows_of_now_{{ model.name }} as (
            {{ sql }}
        );
        {{ replace_rows(target_relation, model.columns, 'rows_of_now_' ~ model.name) }};
        drop table rows_of_now_{{ model.name }};
    {%- endcall -%}
    {%- do persist_docs(target_relation, model) -%}
    {{ run_hooks(post_hooks) }}
    {%- do adapter.commit() -%}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}

{% macro has_columns(relation, columns) %}
    {%- set actual = [] -%}
    {%- for column in adapter.get_columns_in_relation(relation) -%}
        {%- do actual.append(column.name) -%}
    {%- endfor -%}
    {{- return(actual == columns.keys() | list) -}}
{% endmacro %}

{% macro key_of(columns) %}
    {%- for column in columns.values() if column.constraints | selectattr('type', 'equalto', 'primary_key') | list -%}
        {{- return(column.name) -}}
    {%- endfor -%}
{%- endmacro %}

{# `references`: column -> what its foreign key refers to, for SQLite, which has them in the table only. #}
{% macro create_keyed_table(relation, columns, references) -%}
    create table if not exists {{ relation }} (
        {%- for column in columns.values() %}
        {{ column.name }} {{ by_code_point(column.data_type) if column.data_type == 'text' else column.data_type }}
        {%- for constraint in column.constraints %} {{ {'primary_key': 'primary key', 'not_null': 'not null'}[constraint.type] }}{% endfor %}
        {%- if column.name in references %} references {{ references[column.name] }} on delete cascade{% endif -%}
        {{ ',' if not loop.last }}
        {%- endfor %}
    )
{%- endmacro %}

{% macro replace_rows(relation, columns, source='rows_of_now') -%}
    {%- set key = key_of(columns) -%}
    {%- set others = columns.keys() | reject('equalto', key) | list -%}
    delete from {{ relation }}
    where {{ key }} in (
        select {{ key }} from {{ relation }}
        except
        select {{ key }} from {{ source }}
    );
    insert into {{ relation }} ({{ columns.keys() | join(', ') }})
    select
        {% for name in columns -%}
        computed.{{ name }}{{ ',' if not loop.last }}
        {% endfor -%}
    from {{ source }} as computed
    left join {{ relation }} as stored
        on computed.{{ key }} = stored.{{ key }}
    where
        stored.{{ key }} is null
        {% for name in others -%}
        or computed.{{ name }} is distinct from stored.{{ name }}
        {% endfor -%}
    on conflict ({{ key }}) do update set
        {% for name in others -%}
        {{ name }} = excluded.{{ name }}{{ ',' if not loop.last }}
        {% endfor -%}
{%- endmacro %}

{# Adds the foreign keys of this model, and those of others to it, that are missing. Rows of a table that was not built
   since the one it refers to lost rows would break them, so they go. #}
{% macro add_foreign_keys() -%}
    {%- for child in graph.nodes.values() if child.resource_type == 'model' -%}
        {%- for column, name in child.config.meta.get('foreign_keys', {}).items() if model.name in (child.name, name) -%}
            {%- set parent = graph.nodes.values() | selectattr('name', 'equalto', name) | selectattr('resource_type', 'equalto', 'model') | first -%}
            {%- set key = key_of(parent.columns) %}
            {%- set constraint = child.name ~ '_' ~ column ~ '_fkey' %}
        do $$
        begin
            if
                to_regclass('{{ child.relation_name }}') is not null
                and to_regclass('{{ parent.relation_name }}') is not null
                and not exists (
                    select from pg_constraint
                    where conname = '{{ constraint }}' and conrelid = to_regclass('{{ child.relation_name }}')
                )
            then
                delete from {{ child.relation_name }}
                where
                    {{ column }} is not null
                    and not exists (
                        select from {{ parent.relation_name }} as parent
                        where parent.{{ key }} = {{ child.relation_name }}.{{ column }}
                    );
                alter table {{ child.relation_name }} add constraint {{ constraint }}
                    foreign key ({{ column }}) references {{ parent.relation_name }} ({{ key }}) on delete cascade;
                create index if not exists {{ child.name }}_{{ column }}_idx on {{ child.relation_name }} ({{ column }});
            end if;
        end $$;
        {%- endfor -%}
    {%- endfor -%}
{%- endmacro %}
