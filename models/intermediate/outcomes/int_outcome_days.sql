-- One row per index event and outcome of measure plan_days or care_days with at least one such day in the window: days
-- on any child protection plan, or in any period of care, each counted once; the day of ending does not count
-- (definitions, sections 3 and 5).

with
windows as (

    select * from {{ ref('int_outcome_windows') }}
    where measure in ('plan_days', 'care_days')

),

plan_spans as (

    select * from {{ ref('int_cp_plan_spans') }}

),

care_periods as (

    select * from {{ ref('int_care_periods') }}

),

spans as (

    select
        'plan_days' as measure,
        child_id,
        span_start,
        span_end
    from plan_spans

    union all

    -- Periods of care of one child do not overlap.
    select
        'care_days' as measure,
        child_id,
        care_start as span_start,
        observed_until as span_end
    from care_periods

),

final as (

    select
        windows.index_event_no,
        windows.outcome,
        cast(
            sum(
                {{ days_between(
                    'greatest(spans.span_start, windows.index_date)', 'least(spans.span_end, windows.follow_up_end)'
                ) }}
            ) as double
        ) as value,
        min(greatest(spans.span_start, windows.index_date)) as event_date
    from windows
    inner join spans
        on
            windows.measure = spans.measure
            and windows.child_id = spans.child_id
            and windows.follow_up_end > spans.span_start
            and windows.index_date < spans.span_end
    where spans.span_start < spans.span_end
    group by windows.index_event_no, windows.outcome

)

select * from final
