-- One row per period of care that is an index event and outcome of measure placements: the placements that start in the
-- window, at least one (definitions, section 5).

with
windows as (

    select * from {{ ref('int_outcome_windows') }}
    where measure = 'placements'

),

care_periods as (

    select * from {{ ref('int_care_periods') }}

),

placement_moves as (

    select * from {{ ref('int_care_placement_moves') }}
    where is_new_placement

),

placements_counted as (

    select
        windows.index_event_no,
        windows.outcome,
        min(windows.index_date) as event_date,
        count(placement_moves.episode_start) as n_placements
    from windows
    inner join care_periods
        on
            windows.child_id = care_periods.child_id
            and windows.index_date = care_periods.care_start
    left join placement_moves
        on
            care_periods.child_id = placement_moves.child_id
            and care_periods.care_period_no = placement_moves.series_no
            and windows.follow_up_end >= placement_moves.episode_start
    group by windows.index_event_no, windows.outcome

),

final as (

    select
        index_event_no,
        outcome,
        -- A period in temporary placements alone is one placement.
        cast(greatest(n_placements, 1) as double) as value,
        event_date
    from placements_counted

)

select * from final
