-- One row per period of being looked after: authority, child and start (definitions, section 3).

with
care_periods as (

    select * from {{ ref('int_care_periods') }}

),

final as (

    select * from care_periods

)

select * from final
