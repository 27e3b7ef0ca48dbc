-- One row per unbroken run of days on which a child had an open referral; runs of a child neither overlap nor touch
-- (definitions, section 3).

with
open_referral_spans as (

    select * from {{ ref('int_open_referral_spans') }}

),

final as (

    select * from open_referral_spans

)

select * from final
