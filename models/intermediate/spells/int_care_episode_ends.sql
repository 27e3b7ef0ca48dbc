-- One row per episode of care that no later return withdraws, with the day on which it ended. An episode without an
-- end, or with one after the next one's start, ends where the next one starts, and is flagged. Periods of being looked
-- after and series of short breaks are counted apart (definitions, section 3).

with
episodes as (

    select * from {{ ref('int_care_episode_facts') }}
    where withdrawn_by_return_year is null

),

episodes_with_next as (

    select
        *,
        lead(episode_start) over (
            partition by la_code, child_id, is_short_break
            order by episode_start, place_in_day
        ) as next_episode_start
    from episodes

),

episodes_cut as (

    select
        *,
        coalesce(episode_end, next_episode_start) as stated_until,
        case
            when episode_end is null or episode_end > next_episode_start then coalesce(next_episode_start, episode_end)
            else episode_end
        end as episode_until
    from episodes_with_next

),

final as (

    select
        la_code,
        child_id,
        is_short_break,
        episode_start,
        place_in_day,
        episode_end,
        stated_until,
        episode_until,
        coalesce(episode_until <> episode_end, episode_until is not null) as is_end_inferred,
        is_end_before_start,
        reason_new_episode,
        reason_episode_ceased,
        legal_status,
        need_code,
        placement,
        placement_provider,
        is_end_conflicting,
        n_returns,
        first_return_year,
        last_return_year
    from episodes_cut

)

select * from final
