-- One row per index event and outcome of measure neet with a care leaver record of age 17 or 18 that states an activity
-- and whose birthday lies in the window: whether any states one of the outcome's activities (definitions, section 5).

with
windows as (

    select * from {{ ref('int_outcome_windows') }}
    where measure = 'neet'

),

care_leaver_records as (

    select * from {{ ref('int_care_leaver_records') }}
    where activity_code is not null

),

age_rule as (

    select
        max(case when parameter = 'care_leaver_age_min' then parameter_value end) as care_leaver_age_min,
        max(case when parameter = 'care_leaver_age_max' then parameter_value end) as care_leaver_age_max
    from {{ ref('parameters') }}
    where programme = '*'

),

outcome_codes as (

    select * from {{ ref('int_outcome_codes') }}

),

final as (

    select
        windows.index_event_no,
        windows.outcome,
        cast(max(case when outcome_codes.code is not null then 1 else 0 end) as double) as value,
        min(case when outcome_codes.code is not null then care_leaver_records.birthday end) as event_date
    from windows
    inner join care_leaver_records
        on
            windows.child_id = care_leaver_records.child_id
            and {{ is_within('care_leaver_records.birthday', 'windows.index_date', 'windows.follow_up_end') }}
    cross join age_rule
    left join outcome_codes
        on
            windows.programme = outcome_codes.programme
            and windows.outcome = outcome_codes.outcome
            and care_leaver_records.activity_code = outcome_codes.code
    where
        care_leaver_records.age_in_return_year between age_rule.care_leaver_age_min and age_rule.care_leaver_age_max
    group by windows.index_event_no, windows.outcome

)

select * from final
