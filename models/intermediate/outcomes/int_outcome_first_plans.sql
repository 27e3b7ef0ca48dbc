-- One row per index event and outcome of measure first_plan_days with a child protection plan that starts within the
-- months allowed: the days of the first such plan, cut so many months after its start, and whether it was cut
-- (definitions, section 5). A plan open in the last return that carries it is cut at the end of that return.

with
windows as (

    select * from {{ ref('int_outcome_windows') }}
    where measure = 'first_plan_days'

),

plans as (

    select * from {{ ref('int_cp_plan_spells') }}

),

plans_in_order as (

    select
        windows.index_event_no,
        windows.outcome,
        plans.plan_start,
        plans.observed_until,
        {{ add_months('plans.plan_start', 'windows.window_months') }} as cut_on,
        row_number() over (
            partition by windows.index_event_no, windows.outcome order by plans.plan_start
        ) as plan_no
    from windows
    inner join plans
        on
            windows.child_id = plans.child_id
            and {{ is_within('plans.plan_start', 'windows.index_date', 'windows.start_within_end') }}

),

final as (

    select
        index_event_no,
        outcome,
        cast({{ days_between('plan_start', 'least(observed_until, cut_on)') }} as double) as value,
        plan_start as event_date,
        observed_until > cut_on as is_censored
    from plans_in_order
    where plan_no = 1

)

select * from final
