{#- Windows in calendar months (definitions, section 5). -#}

{#- The date a number of calendar months later; month ends are clipped: 31 August and 6 months is 28 February.
    Always counted from the index date, never from another result. -#}
{%- macro add_months(date, months) -%}
    cast({{ date }} + ({{ months }} * interval 1 month) as date)
{%- endmacro -%}

{#- Within a window: both its ends count. -#}
{%- macro is_within(event_date, window_start, window_end) -%}
    ({{ event_date }} >= {{ window_start }} and {{ event_date }} <= {{ window_end }})
{%- endmacro -%}

{#- The calendar year in which the financial year (April to March) of a date ends. -#}
{%- macro financial_year(date) -%}
    cast(extract(year from {{ date }}) + case when extract(month from {{ date }}) >= 4 then 1 else 0 end as integer)
{%- endmacro -%}

{#- The calendar year in which the academic year (September to August) of a date ends. -#}
{%- macro academic_year(date) -%}
    cast(extract(year from {{ date }}) + case when extract(month from {{ date }}) >= 9 then 1 else 0 end as integer)
{%- endmacro -%}

{#- The 1 April on which a return year begins. -#}
{%- macro return_year_start(return_year) -%}
    make_date({{ return_year }} - 1, 4, 1)
{%- endmacro -%}

{#- The 31 March on which a return year ends. -#}
{%- macro return_year_end(return_year) -%}
    make_date({{ return_year }}, 3, 31)
{%- endmacro -%}

{#- Age in completed years from the first day of the birth month (definitions, section 3); not cut at 0. -#}
{%- macro completed_years(birth_month, date) -%}
    cast(floor({{ calendar_months_between(birth_month, date) }} / 12.0) as integer)
{%- endmacro -%}

{#- The date a number of days later. -#}
{%- macro add_days(date, days) -%}
    cast({{ date }} + ({{ days }} * interval 1 day) as date)
{%- endmacro -%}

{#- Months of follow-up, up to its last day, that lie after go-live: the months times the share of their days; 0 without
    go-live (definitions, section 4). -#}
{%- macro exposure_months(go_live_date, index_date, months, last_day) -%}
    cast(
        case
            when {{ go_live_date }} < {{ last_day }}
                then {{ months }}
                * {{ days_between('greatest(' ~ go_live_date ~ ', ' ~ index_date ~ ')', last_day) }}
                / cast({{ days_between(index_date, add_months(index_date, months)) }} as double)
            else 0
        end as double
    )
{%- endmacro -%}

{#- First day of the calendar quarter before the one that starts on a date. -#}
{%- macro previous_quarter(quarter_start) -%}
    {{ add_months(quarter_start, '-3') }}
{%- endmacro -%}
