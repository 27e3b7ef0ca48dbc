-- One row per edition of the statistical neighbours, authority and neighbour: context for those who review a match,
-- not a rule of matching (definitions, section 7).

with
statistical_neighbours as (

    select * from {{ ref('stg_published__statistical_neighbours') }}

),

final as (

    select
        la_code,
        neighbour_la_code,
        neighbour_rank,
        closeness,
        edition
    from statistical_neighbours

)

select * from final
