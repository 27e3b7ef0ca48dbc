-- One row per child in need plan: authority, child and plan start (definitions, section 3).

with
cin_plan_spells as (

    select * from {{ ref('int_cin_plan_spells') }}

),

final as (

    select * from cin_plan_spells

)

select * from final
