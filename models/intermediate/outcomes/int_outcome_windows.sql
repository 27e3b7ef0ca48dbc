-- One row per outcome and index event in its sample, with the outcome's window: from the index date to the same day so
-- many calendar months later, both counted (definitions, section 5).

{{ config(materialized='view') }}

with
index_events as (

    select * from {{ ref('int_outcome_eligibility') }}
    where is_outcome_age and is_in_sample and is_clear_of_embedding

),

final as (

    select
        index_event_no,
        programme,
        outcome,
        measure,
        index_event,
        child_id,
        sequence,
        la_code,
        index_date,
        referral_date,
        go_live_date,
        window_months,
        follow_up_months,
        n_terms,
        is_trimmed,
        clear_months,
        start_within_end,
        follow_up_end
    from index_events

)

select * from final
