-- One row per programme, outcome, child, sequence and term (0: not by school term): the outcome's value, missing where
-- its follow-up is not fully observed: it starts on or after the first day of the authority's observed span, any
-- months without an earlier referral lie within the span too, and it ends on or before its last (definitions, sections
-- 4 and 5).

with
windows as (

    select * from {{ ref('int_outcome_windows') }}

),

outcome_values as (

    select * from {{ ref('int_outcome_values') }}

),

measures as (

    select * from {{ ref('outcome_measures') }}

),

observed_spans as (

    select * from {{ ref('int_observed_spans') }}

),

values_with_windows as (

    select
        windows.index_event_no,
        windows.programme,
        windows.outcome,
        windows.index_event,
        windows.child_id,
        windows.sequence,
        coalesce(outcome_values.term, 0) as term,
        windows.la_code,
        windows.index_date,
        windows.clear_months,
        windows.go_live_date,
        windows.follow_up_months,
        coalesce(outcome_values.follow_up_end, windows.follow_up_end) as window_end,
        case
            when outcome_values.index_event_no is not null then outcome_values.value
            when measures.is_zero_without_event then 0
        end as value_seen,
        outcome_values.event_date,
        coalesce(outcome_values.is_censored, false) as is_censored
    from windows
    inner join measures on windows.measure = measures.measure
    left join outcome_values
        on
            windows.index_event_no = outcome_values.index_event_no
            and windows.outcome = outcome_values.outcome
    where measures.is_zero_without_event or outcome_values.index_event_no is not null

),

values_with_spans as (

    select
        values_with_windows.*,
        coalesce(
            {{ add_months('observed_spans.observed_from', 'coalesce(values_with_windows.clear_months, 0)') }}
            <= values_with_windows.index_date
            and values_with_windows.window_end <= observed_spans.observed_to
            and values_with_windows.value_seen is not null,
            false
        ) as is_fully_observed
    from values_with_windows
    left join observed_spans
        on
            values_with_windows.programme = observed_spans.programme
            and values_with_windows.outcome = observed_spans.outcome
            and values_with_windows.la_code = observed_spans.la_code

),

final as (

    select
        index_event_no,
        programme,
        outcome,
        index_event,
        child_id,
        sequence,
        term,
        la_code,
        index_date,
        window_end,
        cast(case when is_fully_observed then value_seen end as double) as value,
        is_fully_observed,
        event_date,
        is_censored and is_fully_observed as is_censored,
        {{ exposure_months('go_live_date', 'index_date', 'follow_up_months', 'window_end') }} as exposure_months,
        coalesce(go_live_date > index_date and go_live_date < window_end, false) as is_partly_exposed
    from values_with_spans

)

select * from final
