-- One row per period of care: authority, child and start. Short breaks are left out (definitions, section 3).

with
series as (

    select * from {{ ref('int_care_series') }}
    where not is_short_break

),

placement_moves as (

    select * from {{ ref('int_care_placement_moves') }}

),

placements_counted as (

    select
        la_code,
        child_id,
        series_no,
        sum(case when is_new_placement then 1 else 0 end) as n_placements
    from placement_moves
    group by la_code, child_id, series_no

),

final as (

    select
        {{ spell_id('series.child_id', 'series.series_start') }} as care_period_id,
        series.la_code,
        series.child_id,
        series.series_no as care_period_no,
        series.series_start as care_start,
        series.series_end as care_end,
        series.observed_until,
        series.is_open_at_data_end,
        series.is_left_truncated,
        -- A period spent in temporary placements alone is one placement.
        cast(greatest(placements_counted.n_placements, 1) as integer) as n_placements,
        series.n_episodes,
        series.n_ends_inferred,
        series.start_reason,
        series.end_reason,
        series.first_legal_status,
        series.last_legal_status,
        series.first_placement,
        series.last_placement,
        series.first_need,
        series.n_returns,
        series.first_return_year,
        series.last_return_year
    from series
    inner join placements_counted
        on
            series.la_code = placements_counted.la_code
            and series.child_id = placements_counted.child_id
            and series.series_no = placements_counted.series_no

)

select * from final
