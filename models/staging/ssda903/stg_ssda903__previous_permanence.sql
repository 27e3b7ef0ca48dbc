-- One row per previous permanence record of an SSDA903 return.
-- Names, types and codes of raw.ssda903_previous_permanence; every row is kept (definitions, section 2).

with
records as (

    select * from {{ source('raw', 'ssda903_previous_permanence') }}

),

final as (

    select
        return_id,
        la_code,
        return_year,
        record_no,
        child_id,
        birth_month,
        {{ code_or_null('previous_permanence_code') }} as previous_permanence_code,
        {{ code_or_null('previous_permanence_la') }} as previous_permanence_la,
        previous_permanence_date
    from records

)

select * from final
