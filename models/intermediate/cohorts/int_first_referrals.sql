-- One row per programme and child: the child's first referral in the trial period at an eligible age, for programmes
-- whose index event it is (definitions, section 4). No look-back for earlier referrals.

with
referrals as (

    select * from {{ ref('int_programme_referrals') }}
    where is_in_trial_period and is_eligible_age

),

outcomes as (

    select * from {{ ref('outcomes') }}
    where status = 'evaluated' and index_event = 'first_referral'

),

programmes_by_first_referral as (

    select distinct programme from outcomes

),

referrals_in_order as (

    select
        referrals.programme,
        referrals.la_code,
        referrals.child_id,
        referrals.referral_id,
        referrals.referral_date,
        referrals.age_at_referral,
        referrals.is_unborn_at_referral,
        row_number() over (
            partition by referrals.programme, referrals.child_id
            order by referrals.referral_date, referrals.la_code
        ) as referral_no
    from referrals
    inner join programmes_by_first_referral on referrals.programme = programmes_by_first_referral.programme

),

final as (

    select
        programme,
        'first_referral' as index_event,
        child_id,
        cast(1 as integer) as sequence,
        la_code,
        referral_date as index_date,
        referral_id,
        age_at_referral as age_at_index,
        is_unborn_at_referral as is_unborn_at_index
    from referrals_in_order
    where referral_no = 1

)

select * from final
