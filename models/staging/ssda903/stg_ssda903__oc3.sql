-- One row per oc3 record of an SSDA903 return.
-- Names, types and codes of raw.ssda903_oc3; every row is kept (definitions, section 2).

with
records as (

    select * from {{ source('raw', 'ssda903_oc3') }}

),

final as (

    select
        return_id,
        la_code,
        return_year,
        record_no,
        child_id,
        birth_month,
        {{ code_or_null('in_touch_code') }} as in_touch_code,
        {{ code_or_null('activity_code') }} as activity_code,
        {{ code_or_null('accommodation_code') }} as accommodation_code
    from records

)

select * from final
