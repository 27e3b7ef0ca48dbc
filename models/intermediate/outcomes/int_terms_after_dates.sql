-- One row per index date and school term that starts after it, in order from the next one, as many as any outcome
-- follows; with whether absence can be measured in it: it was collected nationally and its table is landed
-- (definitions, section 5).

with
index_events as (

    select * from {{ ref('int_outcome_windows') }}
    where n_terms is not null

),

outcomes as (

    select * from {{ ref('outcomes') }}

),

school_terms as (

    select * from {{ ref('school_terms') }}

),

absence_landed as (

    select * from {{ ref('int_landed_modules') }}
    where collection = 'school_absence'

),

most_terms as (

    select max(n_terms) as n_terms_max from outcomes

),

index_dates as (

    select distinct index_date from index_events

),

terms_in_order as (

    select
        index_dates.index_date,
        school_terms.academic_year,
        school_terms.term,
        school_terms.term_start,
        school_terms.term_end,
        school_terms.is_collected,
        row_number() over (partition by index_dates.index_date order by school_terms.term_start) as term_no
    from index_dates
    inner join school_terms on index_dates.index_date < school_terms.term_start

),

final as (

    select
        terms_in_order.index_date,
        cast(terms_in_order.term_no as integer) as term_no,
        terms_in_order.academic_year,
        terms_in_order.term,
        terms_in_order.term_start,
        terms_in_order.term_end,
        terms_in_order.is_collected,
        terms_in_order.is_collected and absence_landed.return_year is not null as is_measurable
    from terms_in_order
    cross join most_terms
    left join absence_landed on terms_in_order.academic_year = absence_landed.return_year
    where terms_in_order.term_no <= most_terms.n_terms_max

)

select * from final
