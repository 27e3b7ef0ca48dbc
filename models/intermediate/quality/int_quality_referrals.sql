-- One row per authority, return year and check of referrals, by the last return that carries them. Ages are months from
-- the reconciled birth month, so that only those certainly outside the limits fail (docs/data_quality.md).

with
referral_spells as (

    select * from {{ ref('int_referral_spells') }}

),

referral_records as (

    select * from {{ ref('stg_cin__referrals') }}

),

birth_months as (

    select * from {{ ref('int_child_birth_months') }}

),

last_returns as (

    select * from {{ ref('int_quality_last_returns') }}
    where collection = 'cin'

),

parameters as (

    select * from {{ ref('parameters') }}
    where programme = '*'

),

age_rules as (

    select
        max(case when parameter = 'referral_age_months_min' then parameter_value end) as age_months_min,
        max(case when parameter = 'referral_age_years_max' then parameter_value end) as age_years_max
    from parameters

),

referrals_with_age as (

    select
        referral_spells.*,
        last_returns.last_landed_year,
        {{ calendar_months_between('birth_months.birth_month', 'referral_spells.referral_date') }} as age_in_months,
        referral_spells.referral_date > {{ return_year_end('referral_spells.first_return_year') }} as is_after_return,
        referral_spells.closure_date > {{ return_year_end('referral_spells.last_return_year') }}
            as is_closed_after_return
    from referral_spells
    left join last_returns on referral_spells.la_code = last_returns.la_code
    left join birth_months on referral_spells.child_id = birth_months.child_id

),

counts_of_referrals as (

    select
        referrals_with_age.la_code,
        referrals_with_age.last_return_year as return_year,
        count(*) as n_referrals,
        {{ count_where('is_closure_before_referral') }} as n_closed_before,
        {{ count_where('is_inside_open_spell') }} as n_inside_open,
        {{ count_where('is_after_return') }} as n_after_return,
        count(referrals_with_age.closure_date) as n_closed,
        {{ count_where('is_closed_after_return') }} as n_closed_after_return,
        {{ count_where('closure_date is not null and closure_reason is null') }} as n_closed_without_reason,
        {{ count_where('primary_need is null') }} as n_without_need,
        {{ count_where('is_open_at_data_end and last_return_year < last_landed_year') }} as n_dropped,
        count(referrals_with_age.age_in_months) as n_of_known_age,
        {{ count_where('age_in_months < age_months_min or age_in_months > 12 * age_years_max') }} as n_age_impossible,
        {{ count_comparable('is_closure_conflicting') }} as n_comparable_closure,
        {{ count_where('is_closure_conflicting') }} as n_conflicting_closure,
        {{ count_comparable('is_closure_reason_conflicting') }} as n_comparable_closure_reason,
        {{ count_where('is_closure_reason_conflicting') }} as n_conflicting_closure_reason,
        {{ count_comparable('is_primary_need_conflicting') }} as n_comparable_primary_need,
        {{ count_where('is_primary_need_conflicting') }} as n_conflicting_primary_need,
        {{ count_comparable('is_nfa_conflicting') }} as n_comparable_nfa,
        {{ count_where('is_nfa_conflicting') }} as n_conflicting_nfa
    from referrals_with_age
    cross join age_rules
    group by referrals_with_age.la_code, referrals_with_age.last_return_year

),

referrals_in_return as (

    select
        la_code,
        return_year,
        count(*) as n_times
    from referral_records
    group by la_code, return_year, return_id, child_id, referral_date

),

counts_of_records as (

    select
        la_code,
        return_year,
        sum(n_times) as n_records,
        sum(n_times - 1) as n_repeated
    from referrals_in_return
    group by la_code, return_year

),

all_checks as (

    {{ checks_from('counts_of_referrals', [
        ('closure_before_referral', 'n_referrals', 'n_closed_before'),
        ('referral_inside_open_spell', 'n_referrals', 'n_inside_open'),
        ('referral_after_return_year', 'n_referrals', 'n_after_return'),
        ('closure_after_return_year', 'n_closed', 'n_closed_after_return'),
        ('closure_without_reason', 'n_closed', 'n_closed_without_reason'),
        ('missing_primary_need', 'n_referrals', 'n_without_need'),
        ('open_referral_dropped_by_later_return', 'n_referrals', 'n_dropped'),
        ('impossible_age_at_referral', 'n_of_known_age', 'n_age_impossible'),
        ('conflicting_closure', 'n_comparable_closure', 'n_conflicting_closure'),
        ('conflicting_closure_reason', 'n_comparable_closure_reason', 'n_conflicting_closure_reason'),
        ('conflicting_primary_need', 'n_comparable_primary_need', 'n_conflicting_primary_need'),
        ('conflicting_nfa', 'n_comparable_nfa', 'n_conflicting_nfa'),
    ]) }}
    union all
    {{ checks_from('counts_of_records', [
        ('duplicate_referral_in_return', 'n_records', 'n_repeated'),
    ]) }}

),

final as (

    select * from all_checks

)

select * from final
