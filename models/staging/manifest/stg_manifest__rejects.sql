-- One row per record refused (a record may be refused for several fields).
-- Names, types and codes of raw.rejects; every row is kept (definitions, section 2).

with
records as (

    select * from {{ source('raw', 'rejects') }}

),

final as (

    select
        return_id,
        record_type,
        record_path,
        field,
        reason
    from records

)

select * from final
