-- One row per section 47 enquiry: authority, child, referral date and enquiry start, its facts from the latest return
-- that carries it. Where no start is given, one row per conference date: the conference was held, whichever enquiry
-- led to it (definitions, section 3).

with
enquiries as (

    select * from {{ ref('stg_cin__section47') }}
    where enquiry_start is not null or conference_date is not null

),

referrals as (

    select * from {{ ref('stg_cin__referrals') }}

),

enquiries_with_referral as (

    select
        enquiries.la_code,
        enquiries.return_year,
        enquiries.child_no,
        enquiries.child_id,
        enquiries.referral_no,
        enquiries.record_no,
        referrals.referral_date,
        enquiries.enquiry_start,
        case when enquiries.enquiry_start is null then enquiries.conference_date end as date_without_start,
        enquiries.conference_target_date,
        enquiries.conference_date,
        enquiries.is_conference_not_required
    from enquiries
    inner join referrals
        on
            enquiries.return_id = referrals.return_id
            and enquiries.child_no = referrals.child_no
            and enquiries.referral_no = referrals.referral_no

),

records_in_order as (

    -- One order serves every question, so that the records are sorted once.
    select
        *,
        lead(return_year) over (
            partition by child_id, referral_date, enquiry_start, date_without_start
            order by return_year, child_no, referral_no, record_no
        ) is null as is_latest,
        lag(return_year) over (
            partition by child_id, referral_date, enquiry_start, date_without_start
            order by return_year, child_no, referral_no, record_no
        ) as previous_return_year
    from enquiries_with_referral

),

final as (

    select
        la_code,
        child_id,
        referral_date,
        enquiry_start,
        max(case when is_latest then conference_date end) as conference_date,
        max(case when is_latest then conference_target_date end) as conference_target_date,
        coalesce(bool_or(is_latest and is_conference_not_required), false) as is_conference_not_required,
        coalesce(min(conference_date) <> max(conference_date), false) as is_conference_date_conflicting,
        cast(
            sum(case when previous_return_year is null or previous_return_year < return_year then 1 else 0 end)
            as integer
        ) as n_returns,
        min(return_year) as first_return_year,
        max(return_year) as last_return_year
    from records_in_order
    group by la_code, child_id, referral_date, enquiry_start, date_without_start

)

select * from final
