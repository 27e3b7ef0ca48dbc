-- One row per authority and day an inspection by Ofsted began (definitions, section 7).

with
authority_inspections as (

    select * from {{ ref('int_authority_inspections') }}

),

final as (

    select * from authority_inspections

)

select * from final
