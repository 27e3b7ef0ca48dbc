{#- Where DuckDB and Spark write dates differently, or mean different things by the same words. -#}

{#- Whole days from one date to a later one; negative where it is earlier. -#}
{%- macro days_between(from_date, to_date) -%}
    {{ return(adapter.dispatch('days_between', 'csc_evaluation')(from_date, to_date)) }}
{%- endmacro -%}

{%- macro default__days_between(from_date, to_date) -%}
    date_diff('day', {{ from_date }}, {{ to_date }})
{%- endmacro -%}

{%- macro spark__days_between(from_date, to_date) -%}
    datediff({{ to_date }}, {{ from_date }})
{%- endmacro -%}

{#- Calendar months between the months of two dates: 31 January to 1 February is 1. The engines' own functions
    disagree on this, so it is written out. -#}
{%- macro calendar_months_between(from_date, to_date) -%}
    (
        (extract(year from {{ to_date }}) * 12 + extract(month from {{ to_date }}))
        - (extract(year from {{ from_date }}) * 12 + extract(month from {{ from_date }}))
    )
{%- endmacro -%}

{#- First day of the calendar quarter. -#}
{%- macro quarter_start(date) -%}
    cast(date_trunc('quarter', {{ date }}) as date)
{%- endmacro -%}

{#- The moment now, without a time zone. -#}
{%- macro now_utc() -%}
    {{ return(adapter.dispatch('now_utc', 'csc_evaluation')()) }}
{%- endmacro -%}

{%- macro default__now_utc() -%}
    cast(current_timestamp at time zone 'UTC' as timestamp)
{%- endmacro -%}

{%- macro spark__now_utc() -%}
    to_utc_timestamp(current_timestamp(), current_timezone())
{%- endmacro -%}

{#- Saturday or Sunday. -#}
{%- macro is_weekend(date) -%}
    {{ return(adapter.dispatch('is_weekend', 'csc_evaluation')(date)) }}
{%- endmacro -%}

{%- macro default__is_weekend(date) -%}
    extract(isodow from {{ date }}) > 5
{%- endmacro -%}

{%- macro spark__is_weekend(date) -%}
    weekday({{ date }}) > 4
{%- endmacro -%}
