-- One row per assessment record of a Children in Need return.
-- Names, types and codes of raw.cin_assessments; every row is kept (definitions, section 2).

with
records as (

    select * from {{ source('raw', 'cin_assessments') }}

),

final as (

    select
        return_id,
        la_code,
        return_year,
        child_no,
        child_id,
        referral_no,
        record_no,
        assessment_start,
        internal_review_date,
        authorisation_date
    from records

)

select * from final
