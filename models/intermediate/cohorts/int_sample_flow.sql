-- One row per programme, outcome, authority and step: from all who were found to those fully observed, with the reason
-- of each exclusion; children where the first referral is the index event, else events (definitions, section 4). In
-- each stage those kept and excluded add up to those kept in the stage before.

with
outcomes as (

    select * from {{ ref('outcomes') }}
    where status <> 'not_evaluated'

),

authorities as (

    select * from {{ ref('local_authorities') }}

),

index_flow as (

    select * from {{ ref('int_index_flow') }}

),

outcome_flow as (

    select * from {{ ref('int_outcome_flow') }}

),

every_authority as (

    select
        outcomes.programme,
        outcomes.outcome,
        authorities.la_code,
        {% for count in ['n_found', 'n_in_trial_period', 'n_age_known', 'n_eligible_age', 'n_in_cohort'] %}
        coalesce(index_flow.{{ count }}, 0) as {{ count }},
        {% endfor %}
        {% for count in [
            'n_not_outcome_age', 'n_not_in_sample', 'n_into_embedding', 'n_without_value', 'n_with_value',
            'n_after_data_span', 'n_return_missing',
        ] %}
        coalesce(outcome_flow.{{ count }}, 0) as {{ count }},
        {% endfor %}
        coalesce(outcome_flow.n_fully_observed, 0) as n_fully_observed
    from outcomes
    cross join authorities
    left join index_flow
        on
            outcomes.programme = index_flow.programme
            and outcomes.index_event = index_flow.index_event
            and authorities.la_code = index_flow.la_code
    left join outcome_flow
        on
            outcomes.programme = outcome_flow.programme
            and outcomes.outcome = outcome_flow.outcome
            and authorities.la_code = outcome_flow.la_code

),

steps as (

    {% set stages = [
        ('found in a landed return', 'all', false, 'n_found'),
        ('in the trial period', 'not in the trial period', true, 'n_found - n_in_trial_period'),
        ('in the trial period', 'kept', false, 'n_in_trial_period'),
        ('at an eligible age', 'month of birth not known', true, 'n_in_trial_period - n_age_known'),
        ('at an eligible age', 'not at an eligible age', true, 'n_age_known - n_eligible_age'),
        ('at an eligible age', 'within the embedding period', true, 'n_eligible_age - n_in_cohort'),
        ('at an eligible age', 'kept: the cohort', false, 'n_in_cohort'),
        ('in the sample of the outcome', 'not at the age of the outcome', true, 'n_not_outcome_age'),
        ('in the sample of the outcome', 'not in the sample by its rule', true, 'n_not_in_sample'),
        ('in the sample of the outcome', 'follow-up runs into the embedding period', true, 'n_into_embedding'),
        ('in the sample of the outcome', 'nothing to measure, or beyond the fence', true, 'n_without_value'),
        ('in the sample of the outcome', 'kept', false, 'n_with_value'),
        ('fully observed', 'the follow-up runs past the end of the data', true, 'n_after_data_span'),
        ('fully observed', 'a return that the outcome needs is missing', true, 'n_return_missing'),
        ('fully observed', 'kept: the sample', false, 'n_fully_observed'),
    ] %}
    {% for step, reason, is_exclusion, n_children in stages %}
    select
        programme,
        outcome,
        la_code,
        cast({{ loop.index }} as integer) as step_no,
        '{{ step }}' as step,
        '{{ reason }}' as reason,
        {{ is_exclusion | lower }} as is_exclusion,
        cast({{ n_children }} as bigint) as n_children
    from every_authority
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

final as (

    select * from steps

)

select * from final
