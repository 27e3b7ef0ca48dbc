-- One row per initial child protection conference: authority, child and date, whether the referral, the section 47
-- enquiry or both state it (definitions, section 3).

with
initial_conferences as (

    select * from {{ ref('int_initial_conferences') }}

),

final as (

    select * from initial_conferences

)

select * from final
