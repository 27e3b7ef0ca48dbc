-- One row per programme, outcome and authority: index events of the outcome's kind, by the reason for which they are
-- not in its sample, and those in it by whether their follow-up is observed. An index event followed by school terms
-- counts as observed with its first observed term (definitions, sections 4 and 5).

with
eligibility as (

    select * from {{ ref('int_outcome_eligibility') }}

),

trial_outcomes as (

    select * from {{ ref('int_trial_outcomes') }}

),

programmes as (

    select * from {{ ref('programmes') }}

),

eligibility_counted as (

    select
        programme,
        outcome,
        la_code,
        count(*) as n_in_cohort,
        sum(case when not is_outcome_age then 1 else 0 end) as n_not_outcome_age,
        sum(case when is_outcome_age and not is_in_sample then 1 else 0 end) as n_not_in_sample,
        sum(case when is_outcome_age and is_in_sample and not is_clear_of_embedding then 1 else 0 end)
            as n_into_embedding,
        sum(case when is_outcome_age and is_in_sample and is_clear_of_embedding then 1 else 0 end) as n_in_windows
    from eligibility
    group by programme, outcome, la_code

),

events_observed as (

    select
        programme,
        outcome,
        la_code,
        index_event_no,
        bool_or(is_fully_observed) as is_fully_observed,
        min(window_end) as window_end
    from trial_outcomes
    where term > 0
    group by programme, outcome, la_code, index_event_no

    union all

    select
        programme,
        outcome,
        la_code,
        index_event_no,
        is_fully_observed,
        window_end
    from trial_outcomes
    where term = 0

),

observed_counted as (

    select
        events_observed.programme,
        events_observed.outcome,
        events_observed.la_code,
        count(*) as n_with_value,
        sum(case when events_observed.is_fully_observed then 1 else 0 end) as n_fully_observed,
        sum(
            case
                when not events_observed.is_fully_observed and events_observed.window_end > programmes.data_span_end
                    then 1
                else 0
            end
        ) as n_after_data_span
    from events_observed
    inner join programmes on events_observed.programme = programmes.programme
    group by events_observed.programme, events_observed.outcome, events_observed.la_code

),

final as (

    select
        eligibility_counted.programme,
        eligibility_counted.outcome,
        eligibility_counted.la_code,
        cast(eligibility_counted.n_in_cohort as bigint) as n_in_cohort,
        cast(eligibility_counted.n_not_outcome_age as bigint) as n_not_outcome_age,
        cast(eligibility_counted.n_not_in_sample as bigint) as n_not_in_sample,
        cast(eligibility_counted.n_into_embedding as bigint) as n_into_embedding,
        cast(eligibility_counted.n_in_windows - coalesce(observed_counted.n_with_value, 0) as bigint)
            as n_without_value,
        cast(coalesce(observed_counted.n_with_value, 0) as bigint) as n_with_value,
        cast(coalesce(observed_counted.n_after_data_span, 0) as bigint) as n_after_data_span,
        cast(
            coalesce(
                observed_counted.n_with_value
                - observed_counted.n_fully_observed
                - observed_counted.n_after_data_span,
                0
            ) as bigint
        ) as n_return_missing,
        cast(coalesce(observed_counted.n_fully_observed, 0) as bigint) as n_fully_observed
    from eligibility_counted
    left join observed_counted
        on
            eligibility_counted.programme = observed_counted.programme
            and eligibility_counted.outcome = observed_counted.outcome
            and eligibility_counted.la_code = observed_counted.la_code

)

select * from final
