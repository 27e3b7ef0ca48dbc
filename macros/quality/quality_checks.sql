{#- Rows of checks from one row per authority and return year: for each (check, records, failures) the two counts. -#}
{%- macro checks_from(counts, checks) -%}
    {%- for check_name, n_records, n_failed in checks %}
    select
        la_code,
        return_year,
        '{{ check_name }}' as check_name,
        cast({{ n_records }} as bigint) as n_records,
        cast({{ n_failed }} as bigint) as n_failed
    from {{ counts }}
    where {{ n_records }} > 0
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
{%- endmacro -%}

{#- How many rows there are of a kind. -#}
{%- macro count_where(condition) -%}
    sum(case when {{ condition }} then 1 else 0 end)
{%- endmacro -%}

{#- A spell that two returns, or two records of one, could state differently. -#}
{%- macro count_comparable(conflict_flag) -%}
    {{ count_where('n_returns > 1 or ' ~ conflict_flag) }}
{%- endmacro -%}

{#- Whether an authority exists in a return year, from its first and last day (blank: without limit). -#}
{%- macro exists_in_year(valid_from, valid_to, return_year) -%}
    ({{ valid_from }} is null or {{ financial_year(valid_from) }} <= {{ return_year }})
    and ({{ valid_to }} is null or {{ financial_year(valid_to) }} >= {{ return_year }})
{%- endmacro -%}

{#- A financial year in words, from the year in which it ends: 2018 is 2017/18. -#}
{%- macro financial_year_name(return_year) -%}
    cast({{ return_year }} - 1 as string) || '/' || substr(cast({{ return_year }} as string), 3, 2)
{%- endmacro -%}
