-- One row per placement of a period of care that counts, with the temporary placements that interrupt it
-- (definitions, section 3).

with
care_placements as (

    select * from {{ ref('int_care_placements') }}

),

final as (

    select * from care_placements

)

select * from final
