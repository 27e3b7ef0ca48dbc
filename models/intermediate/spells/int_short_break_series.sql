-- One row per series of short breaks (legal status V3 or V4), which are not being looked after
-- (definitions, section 3).

with
series as (

    select * from {{ ref('int_care_series') }}
    where is_short_break

),

final as (

    select
        la_code,
        child_id,
        series_no as short_break_series_no,
        series_start,
        series_end,
        observed_until,
        is_open_at_data_end,
        first_legal_status as legal_status,
        n_episodes,
        n_returns,
        first_return_year,
        last_return_year
    from series

)

select * from final
