-- One row per programme, kind of index event and authority: how many were found, in the trial period, of known and of
-- eligible age, and in the cohort. Children are counted where the first referral is the index event, else events
-- (definitions, section 4).

with
candidates as (

    select * from {{ ref('int_index_candidates') }}

),

cohort as (

    select * from {{ ref('int_index_cohort') }}

),

units as (

    select
        programme,
        index_event,
        la_code,
        child_id,
        bool_or(is_in_trial_period) as is_in_trial_period,
        bool_or(is_in_trial_period and is_age_known) as is_age_known,
        bool_or(is_in_trial_period and is_eligible_age) as is_eligible_age
    from candidates
    where index_event = 'first_referral'
    group by programme, index_event, la_code, child_id

    union all

    select
        programme,
        index_event,
        la_code,
        child_id,
        is_in_trial_period,
        is_in_trial_period and is_age_known as is_age_known,
        is_in_trial_period and is_eligible_age as is_eligible_age
    from candidates
    where index_event <> 'first_referral'

),

units_counted as (

    select
        programme,
        index_event,
        la_code,
        count(*) as n_found,
        sum(case when is_in_trial_period then 1 else 0 end) as n_in_trial_period,
        sum(case when is_age_known then 1 else 0 end) as n_age_known,
        sum(case when is_eligible_age then 1 else 0 end) as n_eligible_age
    from units
    group by programme, index_event, la_code

),

cohort_counted as (

    select
        programme,
        index_event,
        la_code,
        count(*) as n_in_cohort
    from cohort
    group by programme, index_event, la_code

),

final as (

    select
        units_counted.programme,
        units_counted.index_event,
        units_counted.la_code,
        cast(units_counted.n_found as bigint) as n_found,
        cast(units_counted.n_in_trial_period as bigint) as n_in_trial_period,
        cast(units_counted.n_age_known as bigint) as n_age_known,
        cast(units_counted.n_eligible_age as bigint) as n_eligible_age,
        cast(coalesce(cohort_counted.n_in_cohort, 0) as bigint) as n_in_cohort
    from units_counted
    left join cohort_counted
        on
            units_counted.programme = cohort_counted.programme
            and units_counted.index_event = cohort_counted.index_event
            and units_counted.la_code = cohort_counted.la_code

)

select * from final
