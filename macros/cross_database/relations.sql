{#- Tables and views that exist in the schemas named: one row per table_schema and table_name. -#}
{%- macro existing_relations(schemas) -%}
    {{ return(adapter.dispatch('existing_relations', 'csc_evaluation')(schemas)) }}
{%- endmacro -%}

{%- macro default__existing_relations(schemas) -%}
    select
        table_schema,
        table_name
    from information_schema.tables
    where
        table_catalog = current_database()
        and table_schema in ('{{ schemas | join("', '") }}')
{%- endmacro -%}
