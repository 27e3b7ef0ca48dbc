-- One row per index event of a child with a school census record up to the academic year of the index date. Regression:
-- ever eligible for free meals in a spring census so far, or pupil premium in the infant years. Matching: the six-year
-- version, or infant pupil premium, in the latest school year so far (definitions, sections 3 and 8).

with
index_events as (

    select * from {{ ref('int_index_cohort') }}

),

school_years as (

    select * from {{ ref('int_child_school_years') }}

),

final as (

    select
        index_events.index_event_no,
        bool_or(school_years.has_school_year_record) as has_school_year_record,
        bool_or(school_years.is_fsm_eligible_in_spring or school_years.is_infant_pupil_premium) as is_fsm_regression,
        -- The latest year is the one in question if it is the latest of those with free meals too.
        max(school_years.academic_year) = coalesce(
            max(
                case
                    when school_years.is_ever_fsm_6 or school_years.is_infant_pupil_premium
                        then school_years.academic_year
                end
            ),
            0
        ) as is_fsm_cem
    from index_events
    inner join school_years
        on
            index_events.child_id = school_years.child_id
            and {{ academic_year('index_events.index_date') }} >= school_years.academic_year
    group by index_events.index_event_no

)

select * from final
