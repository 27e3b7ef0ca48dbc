-- One row per authority, return year and kind of count, with its change on the year before in standard deviations.

with
jumps as (

    select * from {{ ref('int_quality_jumps') }}

),

final as (

    select * from jumps

)

select * from final
