-- One row per authority, child and referral date: annual returns repeat a referral, and it counts once. Closure, its
-- reason and the flags come from the latest return that carries the referral, even where that return says less than an
-- earlier one: a re-opened referral is open. Primary need and source come from the earliest return that states them,
-- since a later code can reflect the outcome (definitions, section 3). Two different values for one fact are flagged.

with
records as (

    select * from {{ ref('stg_cin__referrals') }}

),

records_in_order as (

    -- One order serves every question, so that the records are sorted once.
    select
        *,
        lead(return_year) over (
            partition by la_code, child_id, referral_date
            order by return_year, child_no, referral_no
        ) is null as is_latest,
        lag(return_year) over (
            partition by la_code, child_id, referral_date
            order by return_year, child_no, referral_no
        ) as previous_return_year,
        count(primary_need) over (
            partition by la_code, child_id, referral_date
            order by return_year, child_no, referral_no
            rows between unbounded preceding and current row
        ) as n_needs_so_far,
        count(referral_source) over (
            partition by la_code, child_id, referral_date
            order by return_year, child_no, referral_no
            rows between unbounded preceding and current row
        ) as n_sources_so_far
    from records

),

final as (

    select
        la_code,
        child_id,
        referral_date,
        {{ spell_id('child_id', 'referral_date') }} as referral_id,
        max(case when is_latest then closure_date end) as closure_date_stated,
        max(case when is_latest then closure_reason end) as closure_reason,
        max(case when is_latest then initial_conference_date end) as initial_conference_date,
        coalesce(bool_or(is_latest and is_nfa_at_referral), false) as is_nfa_at_referral,
        max(case when n_needs_so_far = 1 then primary_need end) as primary_need,
        max(case when n_sources_so_far = 1 then referral_source end) as referral_source,
        coalesce(min(closure_date) <> max(closure_date), false) as is_closure_conflicting,
        coalesce(min(closure_reason) <> max(closure_reason), false) as is_closure_reason_conflicting,
        coalesce(min(primary_need) <> max(primary_need), false) as is_primary_need_conflicting,
        coalesce(bool_or(is_nfa_at_referral) and not bool_and(is_nfa_at_referral), false) as is_nfa_conflicting,
        cast(
            sum(case when previous_return_year is null or previous_return_year < return_year then 1 else 0 end)
            as integer
        ) as n_returns,
        min(return_year) as first_return_year,
        max(return_year) as last_return_year
    from records_in_order
    group by la_code, child_id, referral_date

)

select * from final
