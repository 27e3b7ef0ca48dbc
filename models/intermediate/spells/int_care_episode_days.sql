-- One row per authority, child and day on which landed episodes of care start: the return years that say so, and
-- whether two of them state different ends. What counts is the last end a return states for the day; one that says an
-- episode of that day is still open states none (definitions, section 3).

with
records as (

    select * from {{ ref('stg_ssda903__episodes') }}

),

days_in_returns as (

    select
        la_code,
        child_id,
        episode_start,
        return_year,
        case when not bool_or(episode_end is null) then max(episode_end) end as last_end
    from records
    group by la_code, child_id, episode_start, return_year

),

final as (

    select
        la_code,
        child_id,
        episode_start,
        coalesce(min(last_end) <> max(last_end), false) as is_end_conflicting,
        cast(count(*) as integer) as n_returns,
        min(return_year) as first_return_year,
        max(return_year) as last_return_year
    from days_in_returns
    group by la_code, child_id, episode_start

)

select * from final
