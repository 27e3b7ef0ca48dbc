-- One row per missing record of an SSDA903 return.
-- Names, types and codes of raw.ssda903_missing; every row is kept (definitions, section 2).

with
records as (

    select * from {{ source('raw', 'ssda903_missing') }}

),

final as (

    select
        return_id,
        la_code,
        return_year,
        record_no,
        child_id,
        birth_month,
        {{ code_or_null('missing_type') }} as missing_type,
        missing_start,
        missing_end
    from records

)

select * from final
