-- One row per placed for adoption record of an SSDA903 return.
-- Names, types and codes of raw.ssda903_placed_for_adoption; every row is kept (definitions, section 2).

with
records as (

    select * from {{ source('raw', 'ssda903_placed_for_adoption') }}

),

final as (

    select
        return_id,
        la_code,
        return_year,
        record_no,
        child_id,
        birth_month,
        placed_date,
        placed_ceased_date,
        {{ code_or_null('reason_placed_ceased') }} as reason_placed_ceased
    from records

)

select * from final
