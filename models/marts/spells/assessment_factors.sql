-- One row per assessment and factor, from the latest return that carries the assessment (definitions, section 3).

with
assessment_factors as (

    select * from {{ ref('int_assessment_factors') }}

),

final as (

    select * from assessment_factors

)

select * from final
