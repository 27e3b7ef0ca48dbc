-- One row per child protection plan: authority, child and plan start. The end comes from the latest return that
-- carries the plan, even where that says it still runs; an end before the start is set to the start and flagged; a plan
-- that runs at the end of the data is cut there and flagged (definitions, section 3). Two different values for one
-- fact are flagged.

with
records as (

    select * from {{ ref('stg_cin__cp_plans') }}

),

records_in_order as (

    -- One order serves every question, so that the records are sorted once.
    select
        *,
        lead(return_year) over (
            partition by la_code, child_id, plan_start
            order by return_year, child_no, referral_no, record_no
        ) is null as is_latest,
        lag(return_year) over (
            partition by la_code, child_id, plan_start
            order by return_year, child_no, referral_no, record_no
        ) as previous_return_year,
        count(initial_category_code) over (
            partition by la_code, child_id, plan_start
            order by return_year, child_no, referral_no, record_no
            rows between unbounded preceding and current row
        ) as n_categories_so_far,
        count(n_previous_plans_stated) over (
            partition by la_code, child_id, plan_start
            order by return_year, child_no, referral_no, record_no
            rows between current row and unbounded following
        ) as n_numbers_from_here
    from records

),

plans as (

    select
        la_code,
        child_id,
        plan_start,
        max(case when is_latest then plan_end end) as plan_end_stated,
        max(case when n_categories_so_far = 1 then initial_category_code end) as initial_category,
        max(case when is_latest then latest_category_code end) as latest_category,
        max(case when n_numbers_from_here = 1 then n_previous_plans_stated end) as n_previous_plans_stated,
        coalesce(min(plan_end) <> max(plan_end), false) as is_end_conflicting,
        coalesce(min(initial_category_code) <> max(initial_category_code), false) as is_initial_category_conflicting,
        cast(
            sum(case when previous_return_year is null or previous_return_year < return_year then 1 else 0 end)
            as integer
        ) as n_returns,
        min(return_year) as first_return_year,
        max(return_year) as last_return_year
    from records_in_order
    group by la_code, child_id, plan_start

),

plans_cut as (

    select
        *,
        case
            when plan_end_stated is not null then greatest(plan_end_stated, plan_start)
            else greatest({{ return_year_end('last_return_year') }}, plan_start)
        end as observed_until
    from plans

),

plans_with_earlier_ends as (

    select
        *,
        max(observed_until) over (
            partition by la_code, child_id
            order by plan_start
            rows between unbounded preceding and 1 preceding
        ) as latest_end_of_earlier_plans,
        row_number() over (partition by la_code, child_id order by plan_start) as plan_no
    from plans_cut

),

final as (

    select
        {{ spell_id('child_id', 'plan_start') }} as cp_plan_id,
        la_code,
        child_id,
        plan_start,
        case when plan_end_stated is not null then observed_until end as plan_end,
        observed_until,
        plan_end_stated is null as is_open_at_data_end,
        coalesce(plan_end_stated < plan_start, false) as is_end_before_start,
        coalesce(latest_end_of_earlier_plans > plan_start, false) as is_inside_open_plan,
        cast(plan_no as integer) as plan_no,
        initial_category,
        latest_category,
        n_previous_plans_stated,
        is_end_conflicting,
        is_initial_category_conflicting,
        n_returns,
        first_return_year,
        last_return_year
    from plans_with_earlier_ends

)

select * from final
