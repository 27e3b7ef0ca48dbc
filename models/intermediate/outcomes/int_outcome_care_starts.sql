-- One row per index event and outcome of measure care_start in whose window a period of care starts, with the first
-- such start. It need not stem from the referral; a child already in care counts only by a new period (definitions,
-- section 5).

with
windows as (

    select * from {{ ref('int_outcome_windows') }}
    where measure = 'care_start'

),

care_periods as (

    select * from {{ ref('int_care_periods') }}

),

final as (

    select
        windows.index_event_no,
        windows.outcome,
        cast(1 as double) as value,
        min(care_periods.care_start) as event_date
    from windows
    inner join care_periods
        on
            windows.child_id = care_periods.child_id
            and {{ is_within('care_periods.care_start', 'windows.index_date', 'windows.follow_up_end') }}
    group by windows.index_event_no, windows.outcome

)

select * from final
