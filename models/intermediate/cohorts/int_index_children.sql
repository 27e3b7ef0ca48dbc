-- One row per index event with the child's characteristics at it (definitions, sections 3 and 6). Disability and asylum
-- are the maximum over all records; the variants by the index event know only what was recorded up to the return year
-- of the index event (disability) and before the index date (asylum).

with
index_events as (

    select * from {{ ref('int_index_cohort') }}

),

children as (

    select * from {{ ref('int_children') }}

),

previous_plans as (

    select * from {{ ref('int_index_previous_plans') }}

),

school as (

    select * from {{ ref('int_index_school') }}

),

in_care as (

    select * from {{ ref('int_index_care') }}

),

school_age_rule as (

    select parameter_value as school_age_from_years
    from {{ ref('parameters') }}
    where programme = '*' and parameter = 'school_age_from_years'

),

events_with_school as (

    select
        index_events.*,
        school.is_fsm_regression,
        school.is_fsm_cem,
        case
            when
                index_events.age_at_index < school_age_rule.school_age_from_years
                and not coalesce(school.has_school_year_record, false)
                then 'below_school_age'
            when school.index_event_no is not null then 'linked'
        end as school_standing
    from index_events
    cross join school_age_rule
    left join school on index_events.index_event_no = school.index_event_no

),

final as (

    select
        events.index_event_no,
        events.programme,
        events.index_event,
        events.child_id,
        events.sequence,
        events.la_code,
        events.index_date,
        events.referral_date,
        events.go_live_date,
        {{ financial_year('events.index_date') }} as financial_year,
        {{ quarter_start('events.index_date') }} as quarter_start,
        events.age_at_index,
        events.age_in_months_at_index,
        events.is_unborn_at_index,
        children.gender,
        children.ethnicity,
        children.ethnic_group_major,
        children.is_disabled,
        case
            when children.disability_first_recorded_year <= {{ financial_year('events.index_date') }}
                then coalesce(children.first_disabled_year <= {{ financial_year('events.index_date') }}, false)
        end as is_disabled_by_index,
        children.is_uasc,
        coalesce(children.asylum_known_from < events.index_date, false) as is_uasc_by_index,
        case
            when events.school_standing = 'below_school_age' then 'below_school_age'
            when events.school_standing = 'linked' and events.is_fsm_regression then 'yes'
            when events.school_standing = 'linked' then 'no'
        end as fsm_regression,
        case
            when events.school_standing = 'below_school_age' then 'below_school_age'
            when events.school_standing = 'linked' and events.is_fsm_cem then 'yes'
            when events.school_standing = 'linked' then 'no'
        end as fsm_cem,
        coalesce(previous_plans.n_previous_plans, 0) as n_previous_plans,
        coalesce(previous_plans.n_previous_plans, 0) > 0 as has_previous_plan,
        coalesce(previous_plans.is_number_unstated, true) as is_plan_lookback_limited,
        events.primary_need,
        in_care.index_event_no is not null as is_in_care_at_index,
        children.has_pupil_link,
        children.is_pupil_in_two_authorities
    from events_with_school as events
    inner join children on events.child_id = children.child_id
    left join previous_plans on events.index_event_no = previous_plans.index_event_no
    left join in_care on events.index_event_no = in_care.index_event_no

)

select * from final
