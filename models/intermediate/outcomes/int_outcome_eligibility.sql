-- One row per outcome and index event of its kind, with the outcome's window and whether the index event belongs to its
-- sample: the child's age, the outcome's sample rule, months without an earlier referral, and for events before an
-- embedding period a follow-up that ends before it (definitions, sections 1, 4 and 5).

{{ config(materialized='view') }}

with
index_events as (

    select * from {{ ref('int_index_cohort') }}

),

outcomes as (

    select * from {{ ref('outcomes') }}
    where status <> 'not_evaluated'

),

samples as (

    select * from {{ ref('int_index_samples') }}

),

windows as (

    select
        index_events.index_event_no,
        index_events.programme,
        outcomes.outcome,
        outcomes.measure,
        outcomes.sample_rule,
        index_events.index_event,
        index_events.child_id,
        index_events.sequence,
        index_events.la_code,
        index_events.index_date,
        index_events.referral_date,
        index_events.go_live_date,
        index_events.embedding_start,
        index_events.age_at_index,
        index_events.age_in_months_at_index,
        index_events.is_nfa_at_referral,
        index_events.is_closed_after_assessment,
        index_events.previous_referral_date,
        outcomes.age_min,
        outcomes.age_max,
        outcomes.age_months_max,
        outcomes.window_months,
        outcomes.follow_up_months,
        outcomes.n_terms,
        outcomes.is_trimmed,
        outcomes.clear_months,
        {{ add_months('index_events.index_date', 'outcomes.start_within_months') }} as start_within_end,
        {{ add_months('index_events.index_date', 'outcomes.follow_up_months') }} as follow_up_end
    from index_events
    inner join outcomes
        on
            index_events.programme = outcomes.programme
            and index_events.index_event = outcomes.index_event

),

final as (

    select
        windows.*,
        coalesce(
            windows.age_at_index between windows.age_min and windows.age_max
            and (windows.age_months_max is null or windows.age_in_months_at_index <= windows.age_months_max),
            false
        ) as is_outcome_age,
        case windows.sample_rule
            when 'all' then true
            when 'child_in_need'
                then not coalesce(windows.is_nfa_at_referral or windows.is_closed_after_assessment, false)
            when 'closed_after_assessment' then coalesce(windows.is_closed_after_assessment, false)
            when 'closed_or_nfa' then true
            else samples.index_event_no is not null
        end
        and (
            windows.clear_months is null
            or windows.previous_referral_date is null
            or windows.previous_referral_date < {{ add_months('windows.index_date', '-1 * windows.clear_months') }}
        ) as is_in_sample,
        coalesce(
            windows.index_date >= windows.embedding_start or windows.follow_up_end < windows.embedding_start, true
        ) as is_clear_of_embedding
    from windows
    left join samples
        on
            windows.index_event_no = samples.index_event_no
            and windows.outcome = samples.outcome

)

select * from final
