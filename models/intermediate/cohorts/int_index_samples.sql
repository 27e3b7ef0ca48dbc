-- One row per index event and outcome whose sample is chosen by codes: a referral whose first completed assessment
-- found one of the outcome's factors, or a period of care that starts under one of its legal statuses (definitions,
-- section 5).

with
index_events as (

    select * from {{ ref('int_index_cohort') }}

),

outcomes as (

    select * from {{ ref('outcomes') }}
    where status <> 'not_evaluated' and sample_rule in ('needs_factors', 'care_order')

),

outcome_codes as (

    select * from {{ ref('int_outcome_codes') }}
    where group_use = 'sample'

),

assessment_factors as (

    select * from {{ ref('int_assessment_factors') }}

),

codes_of_sample as (

    select
        outcomes.programme,
        outcomes.outcome,
        outcomes.index_event,
        outcomes.sample_rule,
        outcome_codes.code
    from outcomes
    inner join outcome_codes
        on
            outcomes.programme = outcome_codes.programme
            and outcomes.outcome = outcome_codes.outcome

),

chosen_by_factors as (

    select
        index_events.index_event_no,
        codes_of_sample.outcome
    from index_events
    inner join assessment_factors
        on
            index_events.child_id = assessment_factors.child_id
            and index_events.referral_date = assessment_factors.referral_date
            and index_events.first_completed_assessment_start = assessment_factors.assessment_start
    inner join codes_of_sample
        on
            index_events.programme = codes_of_sample.programme
            and index_events.index_event = codes_of_sample.index_event
            and assessment_factors.factor_code = codes_of_sample.code
    where codes_of_sample.sample_rule = 'needs_factors'

),

chosen_by_legal_status as (

    select
        index_events.index_event_no,
        codes_of_sample.outcome
    from index_events
    inner join codes_of_sample
        on
            index_events.programme = codes_of_sample.programme
            and index_events.index_event = codes_of_sample.index_event
            and index_events.care_legal_status = codes_of_sample.code
    where codes_of_sample.sample_rule = 'care_order'

),

final as (

    select distinct
        index_event_no,
        outcome
    from chosen_by_factors

    union all

    select distinct
        index_event_no,
        outcome
    from chosen_by_legal_status

)

select * from final
