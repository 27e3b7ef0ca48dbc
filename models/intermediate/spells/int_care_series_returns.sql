-- One row per series of episodes, of care or of short breaks: the return years that carry any of its days on which
-- episodes start (definitions, section 3).

with
records as (

    select * from {{ ref('stg_ssda903__episodes') }}

),

episodes as (

    select * from {{ ref('int_care_episodes_in_series') }}

),

return_years_of_series as (

    select distinct
        episodes.child_id,
        episodes.is_short_break,
        episodes.series_no,
        records.return_year
    from episodes
    inner join records
        on
            episodes.child_id = records.child_id
            and episodes.episode_start = records.episode_start

),

final as (

    select
        child_id,
        is_short_break,
        series_no,
        cast(count(*) as integer) as n_returns
    from return_years_of_series
    group by child_id, is_short_break, series_no

)

select * from final
