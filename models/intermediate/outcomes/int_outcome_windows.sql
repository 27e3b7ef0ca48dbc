-- One row per programme, outcome and index event whose child is of the outcome's age, with the outcome's window: from
-- the index date to the same day so many calendar months later, both counted. Fully observed where the whole window
-- lies within the authority's observed span (definitions, sections 4 and 5).

with
index_events as (

    select * from {{ ref('int_first_referrals') }}

),

outcomes as (

    select * from {{ ref('outcomes') }}
    where status = 'evaluated'

),

observed_spans as (

    select * from {{ ref('int_observed_spans') }}

),

windows as (

    select
        outcomes.programme,
        outcomes.outcome,
        index_events.child_id,
        index_events.sequence,
        index_events.la_code,
        index_events.index_date,
        {{ add_months('index_events.index_date', 'outcomes.window_months') }} as window_end
    from index_events
    inner join outcomes
        on
            index_events.programme = outcomes.programme
            and index_events.index_event = outcomes.index_event
            and index_events.age_at_index between outcomes.age_min and outcomes.age_max

),

final as (

    select
        windows.programme,
        windows.outcome,
        windows.child_id,
        windows.sequence,
        windows.la_code,
        windows.index_date,
        windows.window_end,
        observed_spans.observed_from,
        observed_spans.observed_to,
        coalesce(
            windows.index_date >= observed_spans.observed_from and windows.window_end <= observed_spans.observed_to,
            false
        ) as is_fully_observed
    from windows
    left join observed_spans
        on
            windows.programme = observed_spans.programme
            and windows.outcome = observed_spans.outcome
            and windows.la_code = observed_spans.la_code

)

select * from final
