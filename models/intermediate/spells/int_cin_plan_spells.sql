-- One row per child in need plan: authority, child and plan start. The end comes from the latest return that carries
-- the plan, even where that says it still runs; an end before the start is set to the start and flagged; a plan that
-- runs at the end of the data is cut there and flagged (definitions, section 3).

with
records as (

    select * from {{ ref('stg_cin__plans') }}

),

records_in_order as (

    -- One order serves every question, so that the records are sorted once.
    select
        *,
        lead(return_year) over (
            partition by child_id, plan_start
            order by return_year, child_no, referral_no, record_no
        ) is null as is_latest,
        lag(return_year) over (
            partition by child_id, plan_start
            order by return_year, child_no, referral_no, record_no
        ) as previous_return_year
    from records

),

plans as (

    select
        la_code,
        child_id,
        plan_start,
        max(case when is_latest then plan_end end) as plan_end_stated,
        coalesce(min(plan_end) <> max(plan_end), false) as is_end_conflicting,
        cast(
            sum(case when previous_return_year is null or previous_return_year < return_year then 1 else 0 end)
            as integer
        ) as n_returns,
        min(return_year) as first_return_year,
        max(return_year) as last_return_year
    from records_in_order
    group by la_code, child_id, plan_start

),

final as (

    select
        {{ spell_id('child_id', 'plan_start') }} as cin_plan_id,
        la_code,
        child_id,
        plan_start,
        case when plan_end_stated is not null then greatest(plan_end_stated, plan_start) end as plan_end,
        greatest(coalesce(plan_end_stated, {{ return_year_end('last_return_year') }}), plan_start) as observed_until,
        plan_end_stated is null as is_open_at_data_end,
        coalesce(plan_end_stated < plan_start, false) as is_end_before_start,
        is_end_conflicting,
        n_returns,
        first_return_year,
        last_return_year
    from plans

)

select * from final
