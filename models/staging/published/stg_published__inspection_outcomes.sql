-- One row per edition, sheet and inspection in Ofsted's inspection outcomes; sheets name many inspections twice.
-- Names and types of raw.inspection_outcomes; every row is kept (definitions, section 7).

with
records as (

    select * from {{ source('raw', 'inspection_outcomes') }}

),

final as (

    select
        return_id,
        edition,
        record_no,
        sheet_name,
        la_code,
        inspected_on,
        published_on,
        inspection_type,
        overall_judgement
    from records

)

select * from final
