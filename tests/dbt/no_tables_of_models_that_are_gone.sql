-- Every table and view in dbt's schemas belongs to a model or seed of the project: one left behind by a model since
-- renamed or deleted would be read as if it were current. Drop it.

{{ config(severity='warn', tags=['prints_rows']) }}

with
relations as (

    {{ existing_relations(['staging', 'intermediate', 'marts', 'protocol', 'reference']) }}

),

relations_known as (

    {% for node in graph.nodes.values() if node.resource_type in ('model', 'seed') %}
    select
        '{{ node.schema }}' as table_schema,
        '{{ node.name }}' as table_name
    union all
    {% endfor %}
    select
        '' as table_schema,
        '' as table_name

)

select
    'no model or seed makes it: drop it' as broken_rule,
    relations.table_schema,
    relations.table_name
from relations
left join relations_known
    on
        relations.table_schema = relations_known.table_schema
        and relations.table_name = relations_known.table_name
where relations_known.table_name is null
