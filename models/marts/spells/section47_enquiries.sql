-- One row per section 47 enquiry: authority, child, referral date and enquiry start (definitions, section 3).

with
section47_enquiries as (

    select * from {{ ref('int_section47_enquiries') }}

),

final as (

    select * from section47_enquiries

)

select * from final
