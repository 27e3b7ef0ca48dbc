-- One row per series of short breaks, which are not being looked after (definitions, section 3).

with
short_break_series as (

    select * from {{ ref('int_short_break_series') }}

),

final as (

    select * from short_break_series

)

select * from final
