{#- One row per item of a comma list. -#}
{%- macro list_items(column) -%}
    {{ return(adapter.dispatch('list_items', 'csc_evaluation')(column)) }}
{%- endmacro -%}

{%- macro default__list_items(column) -%}
    unnest(string_split({{ column }}, ','))
{%- endmacro -%}

{%- macro spark__list_items(column) -%}
    explode(split({{ column }}, ','))
{%- endmacro -%}
