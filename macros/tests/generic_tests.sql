{#- Generic tests. Each returns the rows that break the rule. -#}

{#- The columns together identify a row. -#}
{% test unique_combination(model, columns) %}
    select
        'the columns together identify a row' as broken_rule,
        {{ columns | join(', ') }},
        count(*) as n_rows
    from {{ model }}
    group by {{ columns | join(', ') }}
    having count(*) > 1
{% endtest %}

{#- Every row finds its parent on the same columns of another table. -#}
{% test relationship_on(model, to, columns, to_columns=none) %}
    {%- set parent_columns = to_columns or columns %}
    select distinct
        'a row without its parent' as broken_rule,
        {% for column in columns %}child_rows.{{ column }}{{ ', ' if not loop.last }}{% endfor %}
    from {{ model }} as child_rows
    left join {{ to }} as parent_rows
        on
            {% for column in columns %}
            child_rows.{{ column }} = parent_rows.{{ parent_columns[loop.index0] }}{{ ' and' if not loop.last }}
            {%- endfor %}
    where
        parent_rows.{{ parent_columns[0] }} is null
        {%- for column in columns %}
        and child_rows.{{ column }} is not null
        {%- endfor %}
{% endtest %}

{#- A condition holds in every row; a row where it is unknown passes, as in a check constraint. -#}
{% test rule_holds(model, rule, columns=none) %}
    select
        '{{ rule | replace("'", "''") }}' as broken_rule,
        {{ columns | join(', ') if columns else '*' }}
    from {{ model }}
    where not ({{ rule }})
{% endtest %}
