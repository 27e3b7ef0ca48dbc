-- One row per uasc record of an SSDA903 return.
-- Names, types and codes of raw.ssda903_uasc; every row is kept (definitions, section 2).

with
records as (

    select * from {{ source('raw', 'ssda903_uasc') }}

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
        status_ceased
    from records

)

select * from final
