-- One row per assessment record and factor; a factor repeated within the record counts once.
-- Names, types and codes of raw.cin_assessment_factors; every row is kept (definitions, section 2).

with
records as (

    select * from {{ source('raw', 'cin_assessment_factors') }}

),

final as (

    select distinct
        return_id,
        la_code,
        return_year,
        child_no,
        child_id,
        referral_no,
        record_no,
        {{ code_or_null('factor_code') }} as factor_code
    from records

)

select * from final
