-- One row per index event of a child with a school record up to the academic year of the index date. Regression: ever
-- eligible for free meals in a spring census so far, or pupil premium in the infant years. Matching: the six-year
-- version, or infant pupil premium, in the latest school year so far (definitions, sections 3 and 8).

with
index_events as (

    select * from {{ ref('int_index_cohort') }}

),

school_years as (

    select * from {{ ref('int_child_school_years') }}
    where has_census_record

),

school_years_so_far as (

    select
        index_events.index_event_no,
        school_years.academic_year,
        school_years.has_school_year_record,
        school_years.is_fsm_eligible_in_spring,
        school_years.is_ever_fsm_6,
        school_years.is_infant_pupil_premium,
        max(school_years.academic_year) over (partition by index_events.index_event_no) as latest_academic_year
    from index_events
    inner join school_years
        on
            index_events.child_id = school_years.child_id
            and {{ academic_year('index_events.index_date') }} >= school_years.academic_year

),

final as (

    select
        index_event_no,
        bool_or(has_school_year_record) as has_school_year_record,
        bool_or(is_fsm_eligible_in_spring or is_infant_pupil_premium) as is_fsm_regression,
        bool_or(academic_year = latest_academic_year and (is_ever_fsm_6 or is_infant_pupil_premium)) as is_fsm_cem
    from school_years_so_far
    group by index_event_no

)

select * from final
