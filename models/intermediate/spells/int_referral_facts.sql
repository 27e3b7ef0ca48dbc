-- One row per authority, child and referral date: annual returns repeat a referral, and it counts once. Closure, its
-- reason and the flags come from the latest return that carries the referral, even where that return says less than an
-- earlier one: a re-opened referral is open. Primary need and source come from the earliest return that states them,
-- since a later code can reflect the outcome (definitions, section 3).

with
records as (

    select * from {{ ref('stg_cin__referrals') }}

),

records_ranked as (

    select
        *,
        row_number() over (
            partition by la_code, child_id, referral_date
            order by return_year desc, child_no desc, referral_no desc
        ) as recency,
        row_number() over (
            partition by la_code, child_id, referral_date
            order by case when primary_need is null then 1 else 0 end, return_year, child_no, referral_no
        ) as need_seniority,
        row_number() over (
            partition by la_code, child_id, referral_date
            order by case when referral_source is null then 1 else 0 end, return_year, child_no, referral_no
        ) as source_seniority,
        row_number() over (
            partition by la_code, child_id, referral_date, return_year
            order by child_no, referral_no
        ) as place_in_return
    from records

),

final as (

    select
        la_code,
        child_id,
        referral_date,
        child_id || '_' || cast(referral_date as string) as referral_id,
        max(case when recency = 1 then closure_date end) as closure_date_stated,
        max(case when recency = 1 then closure_reason end) as closure_reason,
        max(case when recency = 1 then initial_conference_date end) as initial_conference_date,
        coalesce(bool_or(recency = 1 and is_nfa_at_referral), false) as is_nfa_at_referral,
        max(case when need_seniority = 1 then primary_need end) as primary_need,
        max(case when source_seniority = 1 then referral_source end) as referral_source,
        cast(sum(case when place_in_return = 1 then 1 else 0 end) as integer) as n_returns,
        min(return_year) as first_return_year,
        max(return_year) as last_return_year
    from records_ranked
    group by la_code, child_id, referral_date

)

select * from final
