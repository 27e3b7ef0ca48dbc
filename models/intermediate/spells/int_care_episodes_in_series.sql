-- One row per episode of care with the number of the series it belongs to: a period of being looked after, or a series
-- of short breaks, which are counted apart. A series goes from reason-new-episode S to a reason-ceased other than X1,
-- and a gap over the allowed days also starts a new one (definitions, section 3). A gap is counted from the latest end
-- that any earlier episode states, so that an overlap is none. What happens on one day cannot start two series.

with
episodes as (

    select * from {{ ref('int_care_episode_ends') }}

),

starting_codes as (

    select * from {{ ref('code_groups') }}
    where code_group = 'starts_care_period'

),

continuing_codes as (

    select * from {{ ref('code_groups') }}
    where code_group = 'continues_care_period'

),

gap_rule as (

    select parameter_value as care_gap_days_max
    from {{ ref('parameters') }}
    where programme = '*' and parameter = 'care_gap_days_max'

),

episodes_with_codes as (

    select
        episodes.*,
        starting_codes.code is not null as is_start_code,
        coalesce(episodes.reason_episode_ceased is not null and continuing_codes.code is null, false) as is_end_code
    from episodes
    left join starting_codes on episodes.reason_new_episode = starting_codes.code
    left join continuing_codes on episodes.reason_episode_ceased = continuing_codes.code

),

episodes_with_previous as (

    select
        *,
        max(stated_until) over (
            partition by la_code, child_id, is_short_break
            order by episode_start, place_in_day
            rows between unbounded preceding and 1 preceding
        ) as latest_earlier_end,
        lag(is_end_code) over (
            partition by la_code, child_id, is_short_break
            order by episode_start, place_in_day
        ) as is_previous_end_code
    from episodes_with_codes

),

episodes_that_start_series as (

    select
        episodes_with_previous.*,
        case
            when episodes_with_previous.latest_earlier_end is null then 1
            when episodes_with_previous.is_start_code then 1
            when episodes_with_previous.is_previous_end_code then 1
            when
                {{ days_between(
                    'episodes_with_previous.latest_earlier_end', 'episodes_with_previous.episode_start'
                ) }} > gap_rule.care_gap_days_max
                then 1
            else 0
        end as is_start
    from episodes_with_previous
    cross join gap_rule

),

days_that_start_series as (

    select
        *,
        case
            when
                place_in_day = min(place_in_day) over (
                    partition by la_code, child_id, is_short_break, episode_start
                )
                then max(is_start) over (partition by la_code, child_id, is_short_break, episode_start)
            else 0
        end as is_series_start
    from episodes_that_start_series

),

final as (

    select
        la_code,
        child_id,
        is_short_break,
        cast(
            sum(is_series_start) over (
                partition by la_code, child_id, is_short_break
                order by episode_start, place_in_day
                rows between unbounded preceding and current row
            ) as integer
        ) as series_no,
        episode_start,
        place_in_day,
        episode_end,
        stated_until,
        episode_until,
        is_end_inferred,
        is_end_before_start,
        reason_new_episode,
        is_start_code,
        reason_episode_ceased,
        legal_status,
        need_code,
        placement,
        placement_provider,
        is_end_conflicting,
        n_returns,
        first_return_year,
        last_return_year
    from days_that_start_series

)

select * from final
