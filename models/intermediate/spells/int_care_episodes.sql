-- One row per episode of care that no later return withdraws, with the number of the period or series it belongs to,
-- its end, and whether it starts a placement that counts (definitions, section 3).

with
episodes as (

    select * from {{ ref('int_care_episodes_in_series') }}

),

placement_moves as (

    select * from {{ ref('int_care_placement_moves') }}

),

final as (

    select
        episodes.la_code,
        episodes.child_id,
        episodes.is_short_break,
        episodes.series_no,
        episodes.episode_start,
        episodes.place_in_day,
        episodes.episode_end,
        episodes.stated_until,
        episodes.episode_until,
        episodes.is_end_inferred,
        episodes.is_end_before_start,
        episodes.reason_new_episode,
        episodes.is_start_code,
        episodes.reason_episode_ceased,
        episodes.legal_status,
        episodes.need_code,
        episodes.placement,
        episodes.placement_provider,
        placement_moves.is_new_placement,
        placement_moves.is_temporary as is_temporary_placement,
        episodes.is_end_conflicting,
        episodes.n_returns,
        episodes.first_return_year,
        episodes.last_return_year
    from episodes
    -- Short breaks are no placements: their flags stay empty.
    left join placement_moves
        on
            episodes.child_id = placement_moves.child_id
            and episodes.episode_start = placement_moves.episode_start
            and episodes.place_in_day = placement_moves.place_in_day

)

select * from final
