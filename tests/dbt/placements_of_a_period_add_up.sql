-- Each period of care has as many placements as it counts, with all its episodes, from its start until it ends or the
-- data do (definitions, section 3).

with
periods as (

    select * from {{ ref('int_care_periods') }}

),

placements_counted as (

    select
        care_period_id,
        count(*) as n_placements,
        sum(n_episodes) as n_episodes,
        min(placement_start) as first_start,
        bool_or(placement_end is null) as is_open
    from {{ ref('int_care_placements') }}
    group by care_period_id

)

select
    periods.care_period_id,
    placements_counted.n_placements
from periods
left join placements_counted on periods.care_period_id = placements_counted.care_period_id
where
    placements_counted.care_period_id is null
    or periods.n_placements <> placements_counted.n_placements
    or periods.n_episodes <> placements_counted.n_episodes
    or periods.care_start <> placements_counted.first_start
    or (periods.care_end is null) <> placements_counted.is_open
