-- In the flow of children each stage keeps what the one before kept less what it excludes (definitions, section 4).

with
sample_flow as (

    select * from {{ ref('int_sample_flow') }}

),

stages as (

    select
        programme,
        outcome,
        la_code,
        sum(case when step_no = 1 then n_children else 0 end) as n_found,
        sum(case when step_no = 3 then n_children else 0 end) as n_in_trial_period,
        sum(case when step_no = 6 then n_children else 0 end) as n_in_cohort,
        sum(case when step_no = 9 then n_children else 0 end) as n_in_sample,
        sum(case when is_exclusion and step_no < 3 then n_children else 0 end) as n_excluded_by_period,
        sum(case when is_exclusion and step_no between 4 and 5 then n_children else 0 end) as n_excluded_by_age,
        sum(case when is_exclusion and step_no > 6 then n_children else 0 end) as n_excluded_by_window
    from sample_flow
    group by programme, outcome, la_code

)

select * from stages
where
    n_in_trial_period <> n_found - n_excluded_by_period
    or n_in_cohort <> n_in_trial_period - n_excluded_by_age
    or n_in_sample <> n_in_cohort - n_excluded_by_window
