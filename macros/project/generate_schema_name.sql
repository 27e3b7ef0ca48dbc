{#- A model's schema is exactly the one configured, without a prefix. -#}
{%- macro generate_schema_name(custom_schema_name, node) -%}
    {{ custom_schema_name | trim if custom_schema_name else target.schema }}
{%- endmacro -%}
