-- One row per Child record of a Children in Need return.
-- Names, types and codes of raw.cin_children; every row is kept (definitions, section 2).

with
records as (

    select * from {{ source('raw', 'cin_children') }}

),

final as (

    select
        return_id,
        la_code,
        return_year,
        child_no,
        child_id,
        pupil_id,
        former_pupil_id,
        {{ code_or_null('upn_unknown') }} as upn_unknown,
        birth_month,
        is_expected_birth,
        death_month,
        {{ code_or_null('gender_code') }} as gender_code,
        {{ code_or_null('ethnicity_code') }} as ethnicity_code
    from records

)

select * from final
