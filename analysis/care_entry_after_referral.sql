-- Share of referrals whose child enters care within 6, 12 and 18 months, by authority and quarter of referral: every
-- referral counts, whichever programme. Only referrals made in years whose return has landed, and whose eighteen months
-- end before both the last Children in Need and the last looked-after return that have, so that the three shares are of
-- the same referrals. (Of earlier referrals the first return shows only those still open.)

with
referral_spells as (

    select * from {{ ref('referral_spells') }}

),

care_periods as (

    select * from {{ ref('care_periods') }}

),

data_quality as (

    select * from {{ ref('data_quality') }}

),

years_landed as (

    select
        la_code,
        min(case when check_name = 'missing_return_cin' then return_year end) as first_referral_year,
        max(case when check_name = 'missing_return_cin' then return_year end) as last_referral_year,
        max(case when check_name = 'missing_return_ssda903' then return_year end) as last_care_year
    from data_quality
    where n_failed = 0
    group by la_code

),

referrals_followed as (

    select
        referral_spells.referral_id,
        referral_spells.la_code,
        referral_spells.child_id,
        referral_spells.referral_date,
        {{ quarter_start('referral_spells.referral_date') }} as quarter_start
    from referral_spells
    inner join years_landed on referral_spells.la_code = years_landed.la_code
    where
        referral_spells.referral_date >= {{ return_year_start('years_landed.first_referral_year') }}
        and {{ add_months('referral_spells.referral_date', '18') }}
        <= {{ return_year_end('least(years_landed.last_referral_year, years_landed.last_care_year)') }}

),

first_entry_after_referral as (

    select
        referrals_followed.referral_id,
        min(care_periods.care_start) as entered_care_on
    from referrals_followed
    inner join care_periods
        on
            referrals_followed.child_id = care_periods.child_id
            and {{ is_within(
                'care_periods.care_start',
                'referrals_followed.referral_date',
                add_months('referrals_followed.referral_date', '18')
            ) }}
    where not care_periods.is_left_truncated
    group by referrals_followed.referral_id

)

select
    referrals_followed.la_code,
    referrals_followed.quarter_start,
    count(*) as n_referrals,
    avg(
        case
            when
                first_entry_after_referral.entered_care_on
                <= {{ add_months('referrals_followed.referral_date', '6') }}
                then 1.0
            else 0.0
        end
    ) as share_in_care_6m,
    avg(
        case
            when
                first_entry_after_referral.entered_care_on
                <= {{ add_months('referrals_followed.referral_date', '12') }}
                then 1.0
            else 0.0
        end
    ) as share_in_care_12m,
    avg(case when first_entry_after_referral.referral_id is not null then 1.0 else 0.0 end) as share_in_care_18m
from referrals_followed
left join first_entry_after_referral on referrals_followed.referral_id = first_entry_after_referral.referral_id
group by referrals_followed.la_code, referrals_followed.quarter_start
order by referrals_followed.la_code, referrals_followed.quarter_start
