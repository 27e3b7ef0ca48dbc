-- One row per assessment: authority, child, referral date and assessment start (definitions, section 3).

with
assessment_spells as (

    select * from {{ ref('int_assessment_spells') }}

),

final as (

    select * from assessment_spells

)

select * from final
