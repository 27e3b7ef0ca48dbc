-- Where referrals lead, by who referred and year: the share closed without further action, closed after assessment,
-- followed by a plan within six months, and by a period of care within eighteen months. Only referrals whose eighteen
-- months end before the last landed Children in Need return of the authority.

with
referral_spells as (

    select * from {{ ref('referral_spells') }}

),

cp_plan_spells as (

    select * from {{ ref('cp_plan_spells') }}

),

care_periods as (

    select * from {{ ref('care_periods') }}

),

last_return_years as (

    select
        la_code,
        max(last_return_year) as last_return_year
    from referral_spells
    group by la_code

),

referrals_followed as (

    select
        referral_spells.referral_id,
        referral_spells.la_code,
        referral_spells.child_id,
        referral_spells.referral_date,
        coalesce(referral_spells.referral_source, 'not stated') as referral_source,
        referral_spells.is_nfa_at_referral,
        referral_spells.is_closed_after_assessment,
        {{ financial_year('referral_spells.referral_date') }} as financial_year,
        {{ add_months('referral_spells.referral_date', '6') }} as six_months_later,
        {{ add_months('referral_spells.referral_date', '18') }} as eighteen_months_later
    from referral_spells
    inner join last_return_years on referral_spells.la_code = last_return_years.la_code
    where
        {{ add_months('referral_spells.referral_date', '18') }}
        <= {{ return_year_end('last_return_years.last_return_year') }}

),

referrals_with_plan as (

    select distinct referrals_followed.referral_id
    from referrals_followed
    inner join cp_plan_spells
        on
            referrals_followed.child_id = cp_plan_spells.child_id
            and {{ is_within(
                'cp_plan_spells.plan_start', 'referrals_followed.referral_date', 'referrals_followed.six_months_later'
            ) }}

),

referrals_with_care as (

    select distinct referrals_followed.referral_id
    from referrals_followed
    inner join care_periods
        on
            referrals_followed.child_id = care_periods.child_id
            and {{ is_within(
                'care_periods.care_start', 'referrals_followed.referral_date', 'referrals_followed.eighteen_months_later'
            ) }}

)

select
    referrals_followed.financial_year,
    referrals_followed.referral_source,
    count(*) as n_referrals,
    avg(case when referrals_followed.is_nfa_at_referral then 1.0 else 0.0 end) as share_no_further_action,
    avg(case when referrals_followed.is_closed_after_assessment then 1.0 else 0.0 end) as share_closed_after_assessment,
    avg(case when referrals_with_plan.referral_id is not null then 1.0 else 0.0 end) as share_with_plan_6m,
    avg(case when referrals_with_care.referral_id is not null then 1.0 else 0.0 end) as share_in_care_18m
from referrals_followed
left join referrals_with_plan on referrals_followed.referral_id = referrals_with_plan.referral_id
left join referrals_with_care on referrals_followed.referral_id = referrals_with_care.referral_id
group by referrals_followed.financial_year, referrals_followed.referral_source
order by referrals_followed.financial_year, referrals_followed.referral_source
