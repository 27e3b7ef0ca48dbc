-- One row per placement of a period of care that counts: from the episode that starts it until the next placement that
-- counts. Temporary placements belong to the one they interrupt; those before the first one belong to the first, and a
-- period in temporary placements alone has one (definitions, section 3).

with
episodes as (

    select * from {{ ref('int_care_episodes') }}
    where not is_short_break

),

care_periods as (

    select * from {{ ref('int_care_periods') }}

),

episodes_numbered_by_placement as (

    select
        *,
        greatest(
            sum(case when is_new_placement then 1 else 0 end) over (
                partition by child_id, series_no
                order by episode_start, place_in_day
                rows between unbounded preceding and current row
            ),
            1
        ) as placement_no,
        row_number() over (
            partition by child_id, series_no
            order by episode_start, place_in_day
        ) as place_in_series
    from episodes

),

placements as (

    select
        child_id,
        series_no,
        placement_no,
        min(episode_start) as placement_start,
        case when not bool_or(episode_until is null) then max(episode_until) end as placement_end,
        max(case when is_new_placement then placement end) as counted_placement,
        max(case when place_in_series = 1 then placement end) as first_placement,
        bool_or(is_new_placement) as is_counted,
        cast(count(*) as integer) as n_episodes
    from episodes_numbered_by_placement
    group by child_id, series_no, placement_no

),

final as (

    select
        care_periods.care_period_id,
        cast(placements.placement_no as integer) as placement_no,
        care_periods.la_code,
        care_periods.child_id,
        placements.placement_start,
        placements.placement_end,
        case when placements.is_counted then placements.counted_placement else placements.first_placement end
            as placement,
        not placements.is_counted as is_temporary,
        placements.n_episodes
    from placements
    inner join care_periods
        on
            placements.child_id = care_periods.child_id
            and placements.series_no = care_periods.care_period_no

)

select * from final
