{#- dbt prints only how many rows fail a test. For tests on seeds, which hold no personal data, up to five of the
    rows and the rule are printed too. Rows about children are never printed. -#}
{%- macro print_broken_rules(results) -%}
    {%- if execute -%}
    {%- for result in results if result.status | string in ('fail', 'warn') and result.node.compiled_code -%}
        {%- set others = [] -%}
        {%- for parent in result.node.depends_on.nodes if not parent.startswith('seed.') -%}
            {%- do others.append(parent) -%}
        {%- endfor -%}
        {%- if not others or 'prints_rows' in result.node.tags -%}
            {%- set rows = run_query('select * from (' ~ result.node.compiled_code ~ ') as broken limit 5') -%}
            {%- for row in rows.rows -%}
                {%- set shown = [] -%}
                {%- for column in rows.column_names -%}
                    {%- do shown.append(column ~ ' = ' ~ row[column]) -%}
                {%- endfor -%}
                {%- do log('Broken rule in ' ~ result.node.name ~ ': ' ~ shown | join(', '), info=true) -%}
            {%- endfor -%}
        {%- endif -%}
    {%- endfor -%}
    {%- endif -%}
{%- endmacro -%}
