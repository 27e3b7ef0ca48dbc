-- One row per child protection plan: authority, child and plan start (definitions, section 3).

with
cp_plan_spells as (

    select * from {{ ref('int_cp_plan_spells') }}

),

final as (

    select * from cp_plan_spells

)

select * from final
