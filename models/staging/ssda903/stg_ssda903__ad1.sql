-- One row per ad1 record of an SSDA903 return.
-- Names, types and codes of raw.ssda903_ad1; every row is kept (definitions, section 2).

with
records as (

    select * from {{ source('raw', 'ssda903_ad1') }}

),

final as (

    select
        return_id,
        la_code,
        return_year,
        record_no,
        child_id,
        birth_month,
        decision_date,
        matched_date,
        {{ code_or_null('is_foster_carer') }} as foster_carer_code,
        {{ code_or_null('n_adopters') }} as n_adopters_code,
        {{ code_or_null('adopter_sex_code') }} as adopter_sex_code,
        {{ code_or_null('adopter_status_code') }} as adopter_status_code
    from records

)

select * from final
