-- One row per index event of a child at school and school term followed: the child's sessions in it where absence was
-- measured, and whether the term belongs to the outcome: it does where it could not be measured, and where the child
-- has possible sessions. At school is a child with possible sessions in any of the terms (definitions, section 5).

with
index_events as (

    select * from {{ ref('int_outcome_windows') }}
    where n_terms is not null

),

terms as (

    select * from {{ ref('int_terms_after_dates') }}

),

absence_years as (

    select * from {{ ref('int_child_absence_years') }}

),

distinct_events as (

    select
        index_event_no,
        child_id,
        index_date,
        max(n_terms) as n_terms
    from index_events
    group by index_event_no, child_id, index_date

),

terms_with_sessions as (

    select
        distinct_events.index_event_no,
        terms.term_no,
        terms.term_end,
        terms.is_collected,
        terms.is_measurable,
        case
            when not terms.is_measurable then null
            when terms.term = 'autumn' then absence_years.n_possible_autumn
            when terms.term = 'spring' then absence_years.n_possible_spring
            else absence_years.n_possible_summer
        end as n_possible,
        case
            when not terms.is_measurable then null
            when terms.term = 'autumn' then absence_years.n_unauthorised_autumn
            when terms.term = 'spring' then absence_years.n_unauthorised_spring
            else absence_years.n_unauthorised_summer
        end as n_unauthorised
    from distinct_events
    inner join terms
        on
            distinct_events.index_date = terms.index_date
            and distinct_events.n_terms >= terms.term_no
    left join absence_years
        on
            distinct_events.child_id = absence_years.child_id
            and terms.academic_year = absence_years.academic_year

),

events_at_school as (

    select index_event_no
    from terms_with_sessions
    where n_possible > 0
    group by index_event_no

),

final as (

    select
        terms_with_sessions.index_event_no,
        terms_with_sessions.term_no,
        terms_with_sessions.term_end,
        terms_with_sessions.is_collected,
        terms_with_sessions.is_measurable,
        cast(terms_with_sessions.n_possible as bigint) as n_possible,
        cast(coalesce(terms_with_sessions.n_unauthorised, 0) as bigint) as n_unauthorised,
        not terms_with_sessions.is_measurable or coalesce(terms_with_sessions.n_possible > 0, false) as is_at_school
    from terms_with_sessions
    inner join events_at_school on terms_with_sessions.index_event_no = events_at_school.index_event_no

)

select * from final
