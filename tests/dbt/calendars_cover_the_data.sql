-- Every year that a programme's data touch has bank holidays, and school terms where an outcome is by term: without
-- them days would count as working days, and terms would be passed over, silently (definitions, section 5).

with
programmes as (

    select * from {{ ref('programmes') }}

),

outcomes_by_term as (

    select distinct programme from {{ ref('outcomes') }}
    where n_terms is not null

),

bank_holidays as (

    select distinct extract(year from bank_holiday) as calendar_year from {{ ref('bank_holidays') }}

),

school_terms as (

    select
        academic_year,
        count(*) as n_terms
    from {{ ref('school_terms') }}
    group by academic_year

),

years as (

    select
        programme,
        {{ whole_numbers('extract(year from data_span_start)', 'extract(year from data_span_end)') }} as data_year
    from programmes

)

select
    'every year of the data has bank holidays' as broken_rule,
    years.programme,
    years.data_year
from years
left join bank_holidays on years.data_year = bank_holidays.calendar_year
where bank_holidays.calendar_year is null

union all

select
    'every academic year of the data has three terms' as broken_rule,
    years.programme,
    years.data_year
from years
inner join outcomes_by_term on years.programme = outcomes_by_term.programme
left join school_terms on years.data_year = school_terms.academic_year
where coalesce(school_terms.n_terms, 0) <> 3
