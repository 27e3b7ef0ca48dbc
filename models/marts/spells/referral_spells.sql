-- One row per authority, child and referral date (definitions, section 3).

with
referral_spells as (

    select * from {{ ref('int_referral_spells') }}

),

final as (

    select * from referral_spells

)

select * from final
