{#- One row per whole number from the first to the last, both counted; none where the last is smaller. -#}
{%- macro whole_numbers(first, last) -%}
    {{ return(adapter.dispatch('whole_numbers', 'csc_evaluation')(first, last)) }}
{%- endmacro -%}

{%- macro default__whole_numbers(first, last) -%}
    unnest(generate_series({{ first }}, {{ last }}))
{%- endmacro -%}

{%- macro spark__whole_numbers(first, last) -%}
    explode(case when {{ last }} >= {{ first }} then sequence({{ first }}, {{ last }}) else array() end)
{%- endmacro -%}
