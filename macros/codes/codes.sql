{#- A code as landed, null where blank or where landing put INVALID in place of text that was no code. -#}
{%- macro code_or_null(column) -%}
    nullif(nullif(trim({{ column }}), ''), 'INVALID')
{%- endmacro -%}

{#- Term of a school census, from its name or the research service's three letters. -#}
{%- macro census_term_name(column) -%}
    case upper(substr(trim({{ column }}), 1, 3))
        when 'AUT' then 'autumn'
        when 'SPR' then 'spring'
        when 'SUM' then 'summer'
    end
{%- endmacro -%}

{#- National curriculum year as a number: reception is 0; null for nursery and where none is followed. -#}
{%- macro nc_year_number(column) -%}
    case
        when upper(trim({{ column }})) = 'R' then 0
        when length(trim({{ column }})) <= 2 then try_cast(trim({{ column }}) as integer)
    end
{%- endmacro -%}
