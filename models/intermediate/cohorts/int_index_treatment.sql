-- One row per index event in an authority of the programme: whether it was live on the index date, the months of
-- follow-up after go-live, and the further definitions of treatment by days on open referrals in the trial period, each
-- day counted once (definitions, section 4). Comparators have no row: they are never treated. Follow-up is the primary
-- outcome's where children are followed for it from this kind of event, else the longest of that kind.

with
index_events as (

    select * from {{ ref('int_index_cohort') }}
    where go_live_date is not null

),

programmes as (

    select * from {{ ref('programmes') }}

),

outcomes as (

    select * from {{ ref('outcomes') }}
    where status = 'evaluated'

),

variants as (

    select * from {{ ref('treatment_variants') }}

),

open_spans as (

    select * from {{ ref('int_open_referral_spans') }}

),

follow_up_by_kind as (

    select
        outcomes.programme,
        outcomes.index_event,
        coalesce(
            max(case when outcomes.outcome = programmes.primary_outcome then outcomes.follow_up_months end),
            max(outcomes.follow_up_months)
        ) as follow_up_months
    from outcomes
    inner join programmes on outcomes.programme = programmes.programme
    group by outcomes.programme, outcomes.index_event

),

thresholds as (

    select
        programme,
        max(case when variant = 'share_of_open_days' then threshold end) as open_share_min,
        max(case when variant = 'open_days' then threshold end) as open_days_min
    from variants
    group by programme

),

spans_in_trial as (

    select
        index_events.index_event_no,
        index_events.go_live_date,
        greatest(open_spans.span_start, programmes.trial_start) as days_from,
        -- The trial's last day counts; a span's end does not.
        least(open_spans.span_end, {{ add_days('programmes.trial_end', '1') }}) as days_until
    from index_events
    inner join programmes on index_events.programme = programmes.programme
    inner join open_spans on index_events.child_id = open_spans.child_id

),

days_counted as (

    select
        index_event_no,
        sum({{ days_between('days_from', 'days_until') }}) as n_open_days,
        sum(
            case
                when go_live_date < days_until
                    then {{ days_between('greatest(days_from, go_live_date)', 'days_until') }}
                else 0
            end
        ) as n_open_days_after_go_live
    from spans_in_trial
    where days_from < days_until
    group by index_event_no

),

final as (

    select
        index_events.index_event_no,
        index_events.index_date >= index_events.go_live_date as is_treated,
        {{ exposure_months(
            'index_events.go_live_date', 'index_events.index_date', 'follow_up_by_kind.follow_up_months',
            add_months('index_events.index_date', 'follow_up_by_kind.follow_up_months')
        ) }} as exposure_months,
        cast(coalesce(days_counted.n_open_days, 0) as integer) as n_open_days,
        cast(coalesce(days_counted.n_open_days_after_go_live, 0) as integer) as n_open_days_after_go_live,
        case
            when days_counted.n_open_days > 0
                then days_counted.n_open_days_after_go_live >= thresholds.open_share_min * days_counted.n_open_days
            else index_events.index_date >= index_events.go_live_date
        end as is_treated_by_share,
        coalesce(days_counted.n_open_days_after_go_live >= thresholds.open_days_min, false) as is_treated_by_days
    from index_events
    inner join follow_up_by_kind
        on
            index_events.programme = follow_up_by_kind.programme
            and index_events.index_event = follow_up_by_kind.index_event
    inner join thresholds on index_events.programme = thresholds.programme
    left join days_counted on index_events.index_event_no = days_counted.index_event_no

)

select * from final
