-- One row per file, type of record, field and code found outside the code list.
-- Names, types and codes of raw.unlisted_codes; every row is kept (definitions, section 2).

with
records as (

    select * from {{ source('raw', 'unlisted_codes') }}

),

final as (

    select
        return_id,
        record_type,
        field,
        code,
        n_records
    from records

)

select * from final
