-- One row per Child record and disability code; a code repeated within the record counts once.
-- Names, types and codes of raw.cin_disabilities; every row is kept (definitions, section 2).

with
records as (

    select * from {{ source('raw', 'cin_disabilities') }}

),

final as (

    select distinct
        return_id,
        la_code,
        return_year,
        child_no,
        child_id,
        {{ code_or_null('disability_code') }} as disability_code
    from records

)

select * from final
