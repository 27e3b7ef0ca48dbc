-- One row per oc2 record of an SSDA903 return.
-- Names, types and codes of raw.ssda903_oc2; every row is kept (definitions, section 2).

with
records as (

    select * from {{ source('raw', 'ssda903_oc2') }}

),

final as (

    select
        return_id,
        la_code,
        return_year,
        record_no,
        child_id,
        birth_month,
        sdq_score,
        {{ code_or_null('sdq_reason') }} as sdq_reason,
        is_convicted,
        has_health_check,
        has_immunisations,
        has_teeth_check,
        has_health_assessment,
        has_substance_misuse,
        intervention_received,
        intervention_offered
    from records

)

select * from final
