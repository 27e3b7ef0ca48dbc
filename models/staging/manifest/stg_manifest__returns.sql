-- One row per return landed: a file, or an authority and return year of an extract that stacks many.
-- Names, types and codes of raw.returns; every row is kept (definitions, section 2).

with
records as (

    select * from {{ source('raw', 'returns') }}

),

final as (

    select
        return_id,
        collection,
        la_code,
        return_year,
        file_name,
        sha256,
        file_bytes,
        landed_at,
        n_found,
        n_accepted,
        n_rejected,
        header_year,
        reference_date,
        software,
        software_release,
        serial_no,
        file_created_at,
        modules,
        notes,
        is_superseded,
        superseded_by,
        superseded_at,
        superseded_modules
    from records

)

select * from final
