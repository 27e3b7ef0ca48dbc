-- One row per programme, kind of index event and event that may be one, in or out of the trial period, with the child's
-- age at it (definitions, sections 3 and 4).

{{ config(materialized='view') }}

with
programmes as (

    select * from {{ ref('programmes') }}

),

outcomes as (

    select * from {{ ref('outcomes') }}
    where status <> 'not_evaluated'

),

events as (

    select * from {{ ref('int_index_sources') }}

),

birth_months as (

    select * from {{ ref('int_child_birth_months') }}

),

age_rule as (

    select parameter_value as referral_age_months_min
    from {{ ref('parameters') }}
    where programme = '*' and parameter = 'referral_age_months_min'

),

kinds_of_programme as (

    select distinct
        programme,
        index_event,
        case when index_event = 'first_referral' then 'referral' else index_event end as event_kind
    from outcomes

),

events_with_age as (

    select
        programmes.programme,
        kinds_of_programme.index_event,
        events.*,
        programmes.age_min,
        programmes.age_max,
        events.event_date between programmes.trial_start and programmes.trial_end as is_in_trial_period,
        {{ calendar_months_between('birth_months.birth_month', 'events.event_date') }} as age_in_months,
        {{ completed_years('birth_months.birth_month', 'events.event_date') }} as completed_years
    from events
    inner join kinds_of_programme on events.event_kind = kinds_of_programme.event_kind
    inner join programmes on kinds_of_programme.programme = programmes.programme
    left join birth_months on events.child_id = birth_months.child_id

),

final as (

    select
        events_with_age.programme,
        events_with_age.index_event,
        events_with_age.la_code,
        events_with_age.child_id,
        events_with_age.event_date,
        events_with_age.referral_date,
        events_with_age.primary_need,
        events_with_age.is_nfa_at_referral,
        events_with_age.is_closed_after_assessment,
        events_with_age.previous_referral_date,
        events_with_age.first_completed_assessment_start,
        events_with_age.care_legal_status,
        case
            when events_with_age.completed_years < 0 then 0
            else events_with_age.completed_years
        end as age_at_event,
        cast(events_with_age.age_in_months as integer) as age_in_months,
        events_with_age.age_in_months < 0 as is_unborn_at_event,
        events_with_age.is_in_trial_period,
        events_with_age.age_in_months is not null as is_age_known,
        coalesce(
            events_with_age.age_in_months >= age_rule.referral_age_months_min
            and greatest(events_with_age.completed_years, 0)
            between events_with_age.age_min and events_with_age.age_max,
            false
        ) as is_eligible_age
    from events_with_age
    cross join age_rule

)

select * from final
