-- One row per index event with its treatment: the arm (is_treated_authority), whether the authority was live on the
-- index date (is_treated), and the months of the primary outcome's window after go-live, by the share of its days
-- (definitions, section 4). Comparators are always 0.

with
index_events as (

    select * from {{ ref('int_first_referrals') }}

),

sites as (

    select * from {{ ref('sites') }}

),

programmes as (

    select * from {{ ref('programmes') }}

),

outcomes as (

    select * from {{ ref('outcomes') }}

),

primary_windows as (

    select
        programmes.programme,
        outcomes.window_months
    from programmes
    inner join outcomes
        on
            programmes.programme = outcomes.programme
            and programmes.primary_outcome = outcomes.outcome

),

events_with_window as (

    select
        index_events.programme,
        index_events.index_event,
        index_events.child_id,
        index_events.sequence,
        index_events.la_code,
        index_events.index_date,
        sites.go_live_date,
        primary_windows.window_months,
        {{ add_months('index_events.index_date', 'primary_windows.window_months') }} as window_end
    from index_events
    inner join primary_windows on index_events.programme = primary_windows.programme
    left join sites
        on
            index_events.programme = sites.programme
            and index_events.la_code = sites.la_code

),

final as (

    select
        programme,
        index_event,
        child_id,
        sequence,
        la_code,
        index_date,
        go_live_date,
        go_live_date is not null as is_treated_authority,
        coalesce(index_date >= go_live_date, false) as is_treated,
        cast(
            case
                when go_live_date is null or go_live_date >= window_end then 0
                when go_live_date <= index_date then window_months
                else
                    window_months
                    * {{ days_between('go_live_date', 'window_end') }}
                    / cast({{ days_between('index_date', 'window_end') }} as double)
            end as double
        ) as exposure_months
    from events_with_window

)

select * from final
