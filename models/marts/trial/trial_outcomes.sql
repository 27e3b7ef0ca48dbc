-- One row per programme, outcome, child, sequence and term (definitions, section 5).

with
trial_outcomes as (

    select * from {{ ref('int_trial_outcomes') }}

),

final as (

    select
        programme,
        outcome,
        index_event,
        child_id,
        sequence,
        term,
        la_code,
        index_date,
        window_end,
        value,
        is_fully_observed,
        event_date,
        is_censored,
        exposure_months,
        is_partly_exposed
    from trial_outcomes

)

select * from final
