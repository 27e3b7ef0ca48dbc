-- One row per programme, outcome, child, sequence and term (0: not by school term): the outcome's value, missing where
-- its window is not fully observed (definitions, sections 4 and 5).

with
windows as (

    select * from {{ ref('int_outcome_windows') }}

),

looked_after as (

    select * from {{ ref('int_looked_after_in_window') }}

),

final as (

    select
        windows.programme,
        windows.outcome,
        windows.child_id,
        windows.sequence,
        cast(0 as integer) as term,
        windows.la_code,
        windows.index_date,
        windows.window_end,
        cast(
            case
                when not windows.is_fully_observed then null
                when looked_after.first_care_start is not null then 1
                else 0
            end as double
        ) as value,
        windows.is_fully_observed,
        looked_after.first_care_start as event_date
    from windows
    inner join looked_after
        on
            windows.programme = looked_after.programme
            and windows.outcome = looked_after.outcome
            and windows.child_id = looked_after.child_id
            and windows.sequence = looked_after.sequence

)

select * from final
