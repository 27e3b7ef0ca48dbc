-- One row per edition of the statistical neighbours, authority and neighbour (definitions, section 7).

with
authority_neighbours as (

    select * from {{ ref('int_authority_neighbours') }}

),

final as (

    select * from authority_neighbours

)

select * from final
