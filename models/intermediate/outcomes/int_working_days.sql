-- One row per calendar day from the first to the last year any programme's data touch, with the number of working days
-- before it: neither Saturday, Sunday nor bank holiday in England. The working days of [start, end) are the difference
-- of the numbers of end and start (definitions, section 5).

with
programmes as (

    select * from {{ ref('programmes') }}

),

bank_holidays as (

    select * from {{ ref('bank_holidays') }}

),

span as (

    -- A year on either side, for assessments that began before the data or end after them.
    select
        {{ add_months('min(data_span_start)', '-12') }} as first_day,
        {{ add_months('max(data_span_end)', '12') }} as last_day
    from programmes

),

day_numbers as (

    select
        first_day,
        {{ whole_numbers(0, days_between('first_day', 'last_day')) }} as day_no
    from span

),

calendar as (

    select {{ add_days('first_day', 'cast(day_no as integer)') }} as calendar_date
    from day_numbers

),

days_with_kind as (

    select
        calendar.calendar_date,
        {{ is_weekend('calendar.calendar_date') }} as is_weekend,
        bank_holidays.bank_holiday is not null as is_bank_holiday
    from calendar
    left join bank_holidays on calendar.calendar_date = bank_holidays.bank_holiday

),

final as (

    select
        calendar_date,
        not is_weekend and not is_bank_holiday as is_working_day,
        cast(
            coalesce(
                sum(case when is_weekend or is_bank_holiday then 0 else 1 end) over (
                    order by calendar_date rows between unbounded preceding and 1 preceding
                ),
                0
            ) as integer
        ) as n_working_days_before
    from days_with_kind

)

select * from final
