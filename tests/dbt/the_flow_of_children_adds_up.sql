-- In the flow into a sample each stage keeps what the one before kept less what it excludes, and the last keeps the
-- fully observed rows of the outcome (definitions, section 4).

with
sample_flow as (

    select * from {{ ref('int_sample_flow') }}

),

la_quarters as (

    select
        programme,
        outcome,
        la_code,
        sum(n_children) as n_observed_in_quarters
    from {{ ref('int_la_quarter_outcomes') }}
    group by programme, outcome, la_code

),

stages as (

    select
        programme,
        outcome,
        la_code,
        sum(case when step_no = 1 then n_children else 0 end) as n_found,
        sum(case when step_no = 3 then n_children else 0 end) as n_in_trial_period,
        sum(case when step_no = 7 then n_children else 0 end) as n_in_cohort,
        sum(case when step_no = 12 then n_children else 0 end) as n_in_sample,
        sum(case when step_no = 15 then n_children else 0 end) as n_observed,
        sum(case when is_exclusion and step_no < 3 then n_children else 0 end) as n_excluded_by_period,
        sum(case when is_exclusion and step_no between 4 and 6 then n_children else 0 end) as n_excluded_by_cohort,
        sum(case when is_exclusion and step_no between 8 and 11 then n_children else 0 end) as n_excluded_by_sample,
        sum(case when is_exclusion and step_no > 12 then n_children else 0 end) as n_excluded_by_follow_up
    from sample_flow
    group by programme, outcome, la_code

)

select stages.*
from stages
inner join la_quarters
    on
        stages.programme = la_quarters.programme
        and stages.outcome = la_quarters.outcome
        and stages.la_code = la_quarters.la_code
where
    stages.n_in_trial_period <> stages.n_found - stages.n_excluded_by_period
    or stages.n_in_cohort <> stages.n_in_trial_period - stages.n_excluded_by_cohort
    or stages.n_in_sample <> stages.n_in_cohort - stages.n_excluded_by_sample
    or stages.n_observed <> stages.n_in_sample - stages.n_excluded_by_follow_up
    or stages.n_observed <> la_quarters.n_observed_in_quarters
