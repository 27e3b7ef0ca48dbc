-- One row per series of episodes: a period of being looked after, or a series of short breaks. It ends with the latest
-- end among its episodes, and where the next series starts at the latest; open where its last episode has no end in the
-- latest return that carries it, then cut at the end of that return. Left-truncated where its first episode is not a
-- start (S) and began before the authority's first landed episodes, so that the true start is not in the data
-- (definitions, section 3).

with
episodes as (

    select * from {{ ref('int_care_episodes') }}

),

landed_modules as (

    select * from {{ ref('int_landed_modules') }}

),

returns_counted as (

    select * from {{ ref('int_care_series_returns') }}

),

first_returns as (

    select
        la_code,
        min(return_year) as first_landed_year
    from landed_modules
    where collection = 'ssda903' and module = 'episodes'
    group by la_code

),

episodes_placed as (

    select
        *,
        row_number() over (
            partition by la_code, child_id, is_short_break, series_no
            order by episode_start, place_in_day
        ) as place_from_start,
        row_number() over (
            partition by la_code, child_id, is_short_break, series_no
            order by episode_start desc, place_in_day desc
        ) as place_from_end
    from episodes

),

series as (

    select
        la_code,
        child_id,
        is_short_break,
        series_no,
        min(episode_start) as series_start,
        case when not bool_or(place_from_end = 1 and episode_until is null) then max(stated_until) end as latest_end,
        max(case when place_from_end = 1 then last_return_year end) as last_return_year,
        min(first_return_year) as first_return_year,
        bool_or(place_from_start = 1 and is_start_code) as is_start_code,
        max(case when place_from_start = 1 then reason_new_episode end) as start_reason,
        max(case when place_from_end = 1 then reason_episode_ceased end) as end_reason,
        max(case when place_from_start = 1 then legal_status end) as first_legal_status,
        max(case when place_from_end = 1 then legal_status end) as last_legal_status,
        max(case when place_from_start = 1 then placement end) as first_placement,
        max(case when place_from_end = 1 then placement end) as last_placement,
        max(case when place_from_start = 1 then need_code end) as first_need,
        cast(count(*) as integer) as n_episodes,
        cast(sum(case when is_end_inferred then 1 else 0 end) as integer) as n_ends_inferred
    from episodes_placed
    group by la_code, child_id, is_short_break, series_no

),

series_cut as (

    select
        *,
        least(
            latest_end,
            coalesce(
                lead(series_start) over (partition by la_code, child_id, is_short_break order by series_no), latest_end
            )
        ) as series_end
    from series

),

final as (

    select
        series.la_code,
        series.child_id,
        series.is_short_break,
        series.series_no,
        series.series_start,
        series.series_end,
        coalesce(
            series.series_end,
            greatest({{ return_year_end('series.last_return_year') }}, series.series_start)
        ) as observed_until,
        series.series_end is null as is_open_at_data_end,
        (
            not series.is_start_code
            and series.series_no = 1
            and coalesce(
                series.series_start <= {{ return_year_end('first_returns.first_landed_year - 1') }},
                false
            )
        ) as is_left_truncated,
        series.start_reason,
        series.end_reason,
        series.first_legal_status,
        series.last_legal_status,
        series.first_placement,
        series.last_placement,
        series.first_need,
        series.n_episodes,
        series.n_ends_inferred,
        returns_counted.n_returns,
        series.first_return_year,
        series.last_return_year
    from series_cut as series
    inner join returns_counted
        on
            series.child_id = returns_counted.child_id
            and series.is_short_break = returns_counted.is_short_break
            and series.series_no = returns_counted.series_no
    left join first_returns on series.la_code = first_returns.la_code

)

select * from final
