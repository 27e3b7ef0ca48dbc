-- One row per programme and referral spell, with the child's age at it and whether it can be the programme's index
-- event: it lies in the trial period, and the child's age is known and eligible (definitions, sections 3 and 4).

{{ config(materialized='view') }}

with
programmes as (

    select * from {{ ref('programmes') }}

),

referral_spells as (

    select * from {{ ref('int_referral_spells') }}

),

birth_months as (

    select * from {{ ref('int_child_birth_months') }}

),

age_rule as (

    select parameter_value as referral_age_months_min
    from {{ ref('parameters') }}
    where programme = '*' and parameter = 'referral_age_months_min'

),

referrals_with_age as (

    select
        programmes.programme,
        referral_spells.referral_id,
        referral_spells.la_code,
        referral_spells.child_id,
        referral_spells.referral_date,
        programmes.age_min,
        programmes.age_max,
        referral_spells.referral_date between programmes.trial_start and programmes.trial_end as is_in_trial_period,
        {{ calendar_months_between('birth_months.birth_month', 'referral_spells.referral_date') }} as age_in_months,
        {{ completed_years('birth_months.birth_month', 'referral_spells.referral_date') }} as completed_years
    from referral_spells
    cross join programmes
    left join birth_months on referral_spells.child_id = birth_months.child_id

),

final as (

    select
        referrals_with_age.programme,
        referrals_with_age.referral_id,
        referrals_with_age.la_code,
        referrals_with_age.child_id,
        referrals_with_age.referral_date,
        case
            when referrals_with_age.completed_years < 0 then 0
            else referrals_with_age.completed_years
        end as age_at_referral,
        referrals_with_age.age_in_months < 0 as is_unborn_at_referral,
        referrals_with_age.is_in_trial_period,
        referrals_with_age.age_in_months is not null as is_age_known,
        coalesce(
            referrals_with_age.age_in_months >= age_rule.referral_age_months_min
            and greatest(referrals_with_age.completed_years, 0)
            between referrals_with_age.age_min and referrals_with_age.age_max,
            false
        ) as is_eligible_age
    from referrals_with_age
    cross join age_rule

)

select * from final
