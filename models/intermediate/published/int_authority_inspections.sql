-- One row per authority and day an inspection began: what the latest edition says of it, and within an edition the
-- sheet that names the type of the inspection. Context for those who review a match (definitions, section 7).

with
inspection_outcomes as (

    select * from {{ ref('stg_published__inspection_outcomes') }}

),

latest_first as (

    select
        *,
        row_number() over (
            partition by la_code, inspected_on
            order by edition desc, case when inspection_type is null then 1 else 0 end asc, record_no asc
        ) as recency
    from inspection_outcomes

),

final as (

    select
        la_code,
        inspected_on,
        published_on,
        inspection_type,
        overall_judgement,
        edition
    from latest_first
    where recency = 1

)

select * from final
