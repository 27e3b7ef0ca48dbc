{#- Key of a spell: the child and the days that identify it. -#}
{%- macro spell_id(child_id, dates) -%}
    {{ child_id }}
    {%- for date in dates %} || '_' || cast({{ date }} as string){% endfor -%}
{%- endmacro -%}
