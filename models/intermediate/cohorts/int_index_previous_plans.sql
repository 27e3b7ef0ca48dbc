-- One row per index event of a child with a plan started before it: the stated number of the last such plan + 1, or the
-- plans seen if more. Limited by look-back where that plan does not state its number (definitions, section 3).

with
index_events as (

    select * from {{ ref('int_index_cohort') }}

),

plans as (

    select * from {{ ref('int_cp_plan_spells') }}

),

plans_before_index as (

    select
        index_events.index_event_no,
        plans.n_previous_plans_stated,
        row_number() over (partition by index_events.index_event_no order by plans.plan_start desc) as recency
    from index_events
    inner join plans
        on
            index_events.child_id = plans.child_id
            and index_events.index_date > plans.plan_start

),

final as (

    select
        index_event_no,
        cast(
            greatest(
                count(*),
                max(case when recency = 1 then coalesce(n_previous_plans_stated + 1, 0) else 0 end)
            ) as integer
        ) as n_previous_plans,
        bool_or(recency = 1 and n_previous_plans_stated is null) as is_number_unstated
    from plans_before_index
    group by index_event_no

)

select * from final
