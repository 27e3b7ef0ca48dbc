-- One row per review of a child protection plan record; record_no is the plan's.
-- Names, types and codes of raw.cin_cp_reviews; every row is kept (definitions, section 2).

with
records as (

    select * from {{ source('raw', 'cin_cp_reviews') }}

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
        review_date
    from records

)

select * from final
