{#- Key of a spell: the child and the days that identify it. -#}
{%- macro spell_id(child_id, date, second_date=none) -%}
    {{ child_id }} || '_' || cast({{ date }} as string)
    {%- if second_date %} || '_' || cast({{ second_date }} as string){% endif -%}
{%- endmacro -%}
