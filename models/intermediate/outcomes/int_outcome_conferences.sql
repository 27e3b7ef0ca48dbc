-- One row per index event and outcome of measure initial_conference with an initial child protection conference of the
-- child in the window, with the first such date (definitions, section 5).

with
windows as (

    select * from {{ ref('int_outcome_windows') }}
    where measure = 'initial_conference'

),

conferences as (

    select * from {{ ref('int_initial_conferences') }}

),

final as (

    select
        windows.index_event_no,
        windows.outcome,
        cast(1 as double) as value,
        min(conferences.conference_date) as event_date
    from windows
    inner join conferences
        on
            windows.child_id = conferences.child_id
            and {{ is_within('conferences.conference_date', 'windows.index_date', 'windows.follow_up_end') }}
    group by windows.index_event_no, windows.outcome

)

select * from final
