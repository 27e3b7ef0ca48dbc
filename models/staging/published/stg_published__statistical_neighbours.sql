-- One row per edition of the statistical neighbours, authority and rank.
-- Names and types of raw.statistical_neighbours; every row is kept (definitions, section 7).

with
records as (

    select * from {{ source('raw', 'statistical_neighbours') }}

),

final as (

    select
        return_id,
        edition,
        record_no,
        la_code,
        neighbour_rank,
        neighbour_la_code,
        closeness
    from records

)

select * from final
