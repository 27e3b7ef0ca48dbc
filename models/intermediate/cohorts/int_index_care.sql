-- One row per index event of a child in care at it: a period of care started before the index date and had not ended by
-- it; the day of ending does not count (definitions, sections 3 and 5).

with
index_events as (

    select * from {{ ref('int_index_cohort') }}

),

care_periods as (

    select * from {{ ref('int_care_periods') }}

),

final as (

    select distinct index_events.index_event_no
    from index_events
    inner join care_periods
        on
            index_events.child_id = care_periods.child_id
            and index_events.index_date > care_periods.care_start
            and index_events.index_date < care_periods.observed_until

)

select * from final
