-- One row per assessment record with a start, with the referral it stands in and its place among the records of the
-- same assessment (authority, child, referral date and start). A record without a start is no assessment of its own:
-- nothing says which one it is (definitions, section 3).

with
assessments as (

    select * from {{ ref('stg_cin__assessments') }}
    where assessment_start is not null

),

referrals as (

    select * from {{ ref('stg_cin__referrals') }}

),

assessments_with_referral as (

    select
        assessments.return_id,
        assessments.la_code,
        assessments.return_year,
        assessments.child_no,
        assessments.child_id,
        assessments.referral_no,
        assessments.record_no,
        referrals.referral_date,
        assessments.assessment_start,
        assessments.authorisation_date
    from assessments
    inner join referrals
        on
            assessments.return_id = referrals.return_id
            and assessments.child_no = referrals.child_no
            and assessments.referral_no = referrals.referral_no

),

final as (

    -- One order serves every question, so that the records are sorted once.
    select
        *,
        lead(return_year) over (
            partition by child_id, referral_date, assessment_start
            order by return_year, child_no, referral_no, record_no
        ) is null as is_latest,
        lag(return_year) over (
            partition by child_id, referral_date, assessment_start
            order by return_year, child_no, referral_no, record_no
        ) as previous_return_year,
        return_year = last_value(return_year) over (
            partition by child_id, referral_date, assessment_start
            order by return_year, child_no, referral_no, record_no
            rows between unbounded preceding and unbounded following
        ) as is_in_latest_return
    from assessments_with_referral

)

select * from final
