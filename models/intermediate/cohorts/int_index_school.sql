-- One row per index event of a child with a school record up to the academic year of the index date. Regression: ever
-- eligible for free meals in a spring census so far, or pupil premium in the infant years. Matching: the six-year
-- version, or infant pupil premium, in the latest school year so far (definitions, sections 3 and 8).

with
index_events as (

    select * from {{ ref('int_first_referrals') }}

),

school_years as (

    select * from {{ ref('int_child_school_years') }}
    where has_census_record

),

school_years_so_far as (

    select
        index_events.programme,
        index_events.index_event,
        index_events.child_id,
        index_events.sequence,
        school_years.has_school_year_record,
        school_years.is_fsm_eligible_in_spring,
        school_years.is_ever_fsm_6,
        school_years.is_infant_pupil_premium,
        row_number() over (
            partition by index_events.programme, index_events.index_event, index_events.child_id, index_events.sequence
            order by school_years.academic_year desc
        ) as recency
    from index_events
    inner join school_years
        on
            index_events.child_id = school_years.child_id
            and {{ academic_year('index_events.index_date') }} >= school_years.academic_year

),

final as (

    select
        programme,
        index_event,
        child_id,
        sequence,
        bool_or(has_school_year_record) as has_school_year_record,
        bool_or(is_fsm_eligible_in_spring or is_infant_pupil_premium) as is_fsm_regression,
        bool_or(recency = 1 and (is_ever_fsm_6 or is_infant_pupil_premium)) as is_fsm_cem
    from school_years_so_far
    group by programme, index_event, child_id, sequence

)

select * from final
