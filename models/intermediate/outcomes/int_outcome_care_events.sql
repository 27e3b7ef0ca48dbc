-- One row per period of care that is an index event and outcome of measure kinship_care or missing_episode, with the
-- first event that counts in the window: an episode with one of the outcome's placements starts, the period ends for
-- one of its reasons, or a missing episode of one of its types starts (definitions, section 5).

with
windows as (

    select * from {{ ref('int_outcome_windows') }}
    where measure in ('kinship_care', 'missing_episode')

),

outcome_codes as (

    select * from {{ ref('int_outcome_codes') }}

),

care_periods as (

    select * from {{ ref('int_care_periods') }}

),

care_episodes as (

    select * from {{ ref('int_care_episodes') }}
    where not is_short_break

),

missing_episodes as (

    select * from {{ ref('int_missing_episodes') }}

),

events as (

    select
        care_periods.child_id,
        care_periods.care_start,
        'placement' as group_use,
        care_episodes.placement as code,
        care_episodes.episode_start as event_date
    from care_periods
    inner join care_episodes
        on
            care_periods.child_id = care_episodes.child_id
            and care_periods.care_period_no = care_episodes.series_no

    union all

    select
        child_id,
        care_start,
        'care_end' as group_use,
        end_reason as code,
        care_end as event_date
    from care_periods

    union all

    select
        care_periods.child_id,
        care_periods.care_start,
        'event' as group_use,
        missing_episodes.missing_type as code,
        missing_episodes.missing_start as event_date
    from care_periods
    inner join missing_episodes on care_periods.child_id = missing_episodes.child_id

),

final as (

    select
        windows.index_event_no,
        windows.outcome,
        cast(1 as double) as value,
        min(events.event_date) as event_date
    from windows
    inner join events
        on
            windows.child_id = events.child_id
            and windows.index_date = events.care_start
            and {{ is_within('events.event_date', 'windows.index_date', 'windows.follow_up_end') }}
    inner join outcome_codes
        on
            windows.programme = outcome_codes.programme
            and windows.outcome = outcome_codes.outcome
            and events.group_use = outcome_codes.group_use
            and events.code = outcome_codes.code
    group by windows.index_event_no, windows.outcome

)

select * from final
