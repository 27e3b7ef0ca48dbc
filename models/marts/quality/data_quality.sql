-- One row per authority, return year and check.

with
data_quality as (

    select * from {{ ref('int_data_quality') }}

),

final as (

    select * from data_quality

)

select * from final
