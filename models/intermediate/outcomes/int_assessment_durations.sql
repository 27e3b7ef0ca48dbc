-- One row per assessment that is an index event of an outcome of measure assessment_working_days and was completed: its
-- working days from start to authorisation, the day of authorisation not counted (definitions, section 5).

with
windows as (

    select * from {{ ref('int_outcome_windows') }}
    where measure = 'assessment_working_days'

),

assessments as (

    select * from {{ ref('int_assessment_spells') }}

),

working_days as (

    select * from {{ ref('int_working_days') }}

),

observed_spans as (

    select * from {{ ref('int_observed_spans') }}

),

final as (

    select
        windows.index_event_no,
        windows.programme,
        windows.outcome,
        windows.la_code,
        windows.index_date,
        windows.is_trimmed,
        windows.go_live_date is not null as is_treated_authority,
        coalesce(
            windows.index_date >= observed_spans.observed_from
            and windows.follow_up_end <= observed_spans.observed_to,
            false
        ) as is_fully_observed,
        last_day.n_working_days_before - first_day.n_working_days_before as n_working_days,
        assessments.authorisation_date
    from windows
    inner join assessments
        on
            windows.child_id = assessments.child_id
            and windows.referral_date = assessments.referral_date
            and windows.index_date = assessments.assessment_start
    inner join working_days as first_day on assessments.assessment_start = first_day.calendar_date
    inner join working_days as last_day on assessments.authorisation_date = last_day.calendar_date
    left join observed_spans
        on
            windows.programme = observed_spans.programme
            and windows.outcome = observed_spans.outcome
            and windows.la_code = observed_spans.la_code

)

select * from final
