-- Share of referrals followed by another of the same child within 1 to 18 months, by authority and financial year. Only
-- referrals whose eighteen months end before the last landed Children in Need return of the authority. Each referral's
-- wait is counted once, and the months are summed up, so that no referral is crossed with months.

with
referral_spells as (

    select * from {{ ref('referral_spells') }}

),

last_return_years as (

    select
        la_code,
        max(last_return_year) as last_return_year
    from referral_spells
    group by la_code

),

referrals_in_order as (

    select
        la_code,
        child_id,
        referral_date,
        lead(referral_date) over (partition by la_code, child_id order by referral_date) as next_referral_date
    from referral_spells

),

waits as (

    select
        referrals_in_order.la_code,
        {{ financial_year('referrals_in_order.referral_date') }} as financial_year,
        -- Months until the next referral: the first whole number of months within which it falls.
        {{ calendar_months_between('referrals_in_order.referral_date', 'referrals_in_order.next_referral_date') }}
        + case
            when
                referrals_in_order.next_referral_date
                > {{ add_months(
                    'referrals_in_order.referral_date',
                    calendar_months_between('referrals_in_order.referral_date', 'referrals_in_order.next_referral_date')
                ) }}
                then 1
            else 0
        end as months_waited
    from referrals_in_order
    inner join last_return_years on referrals_in_order.la_code = last_return_years.la_code
    where
        {{ add_months('referrals_in_order.referral_date', '18') }}
        <= {{ return_year_end('last_return_years.last_return_year') }}

),

referrals_by_wait as (

    select
        la_code,
        financial_year,
        months_waited,
        count(*) as n_referrals
    from waits
    group by la_code, financial_year, months_waited

),

months as (

    select {{ whole_numbers(1, 18) }} as months_since

)

select
    referrals_by_wait.la_code,
    referrals_by_wait.financial_year,
    months.months_since,
    sum(referrals_by_wait.n_referrals) as n_referrals,
    sum(
        case when referrals_by_wait.months_waited <= months.months_since then referrals_by_wait.n_referrals else 0 end
    ) / cast(sum(referrals_by_wait.n_referrals) as double) as share_referred_again
from referrals_by_wait
cross join months
group by referrals_by_wait.la_code, referrals_by_wait.financial_year, months.months_since
order by referrals_by_wait.la_code, referrals_by_wait.financial_year, months.months_since
