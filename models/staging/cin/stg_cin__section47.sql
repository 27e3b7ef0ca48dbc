-- One row per section 47 enquiry record of a Children in Need return.
-- Names, types and codes of raw.cin_section47; every row is kept (definitions, section 2).

with
records as (

    select * from {{ source('raw', 'cin_section47') }}

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
        enquiry_start,
        conference_target_date,
        conference_date,
        is_conference_not_required
    from records

)

select * from final
