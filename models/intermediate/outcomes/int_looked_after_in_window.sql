-- One row per programme and index event with the outcome looked_after_18m: the first period of care that starts within
-- the window, both ends counted. It need not stem from the referral; a child already in care counts only by a new
-- period (definitions, section 5). Null where none starts.

with
windows as (

    select * from {{ ref('int_outcome_windows') }}
    where outcome = 'looked_after_18m'

),

care_periods as (

    select * from {{ ref('int_care_periods') }}

),

final as (

    select
        windows.programme,
        windows.outcome,
        windows.child_id,
        windows.sequence,
        min(care_periods.care_start) as first_care_start
    from windows
    left join care_periods
        on
            windows.la_code = care_periods.la_code
            and windows.child_id = care_periods.child_id
            and {{ is_within('care_periods.care_start', 'windows.index_date', 'windows.window_end') }}
    group by windows.programme, windows.outcome, windows.child_id, windows.sequence

)

select * from final
