-- One row per header record of an SSDA903 return.
-- Names, types and codes of raw.ssda903_header; every row is kept (definitions, section 2).

with
records as (

    select * from {{ source('raw', 'ssda903_header') }}

),

final as (

    select
        return_id,
        la_code,
        return_year,
        record_no,
        child_id,
        {{ code_or_null('gender_code') }} as gender_code,
        birth_month,
        {{ code_or_null('ethnicity_code') }} as ethnicity_code,
        pupil_id,
        {{ code_or_null('upn_unknown') }} as upn_unknown,
        is_mother,
        child_birth_month
    from records

)

select * from final
