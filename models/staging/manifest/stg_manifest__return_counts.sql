-- One row per file landed and type of record.
-- Names, types and codes of raw.return_counts; every row is kept (definitions, section 2).

with
records as (

    select * from {{ source('raw', 'return_counts') }}

),

final as (

    select
        return_id,
        record_type,
        n_found,
        n_accepted,
        n_rejected
    from records

)

select * from final
