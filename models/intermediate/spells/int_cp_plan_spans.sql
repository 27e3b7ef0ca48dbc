-- One row per unbroken run of days on which a child had a child protection plan: the union of
-- [plan_start, observed_until) over the child's plans. Runs are half-open and neither overlap nor touch;
-- a plan of no days adds none (definitions, section 3).

with
plans as (

    select * from {{ ref('int_cp_plan_spells') }}
    where observed_until > plan_start

),

plans_with_earlier_ends as (

    select
        la_code,
        child_id,
        plan_start,
        observed_until,
        max(observed_until) over (
            partition by child_id
            order by plan_start
            rows between unbounded preceding and 1 preceding
        ) as latest_earlier_end
    from plans

),

plans_numbered_by_span as (

    select
        *,
        sum(case when latest_earlier_end >= plan_start then 0 else 1 end) over (
            partition by child_id
            order by plan_start
            rows between unbounded preceding and current row
        ) as span_no
    from plans_with_earlier_ends

),

final as (

    select
        la_code,
        child_id,
        min(plan_start) as span_start,
        max(observed_until) as span_end
    from plans_numbered_by_span
    group by la_code, child_id, span_no

)

select * from final
