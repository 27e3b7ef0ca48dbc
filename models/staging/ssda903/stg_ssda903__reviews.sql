-- One row per reviews record of an SSDA903 return.
-- Names, types and codes of raw.ssda903_reviews; every row is kept (definitions, section 2).

with
records as (

    select * from {{ source('raw', 'ssda903_reviews') }}

),

final as (

    select
        return_id,
        la_code,
        return_year,
        record_no,
        child_id,
        birth_month,
        review_date,
        {{ code_or_null('review_code') }} as review_code
    from records

)

select * from final
