-- One row per index event, outcome and term with something that the outcome counts: its value, the day of the first
-- such event, whether the value is cut, and where it is not the outcome's own, the last day of follow-up (definitions,
-- section 5).

{{ config(materialized='view') }}

with
{% set measures = [
    'care_starts', 'days', 'rereferrals', 'escalations', 'conferences', 'care_events', 'placements', 'assessment_days',
    'care_leavers',
] %}
{% for measure in measures %}
{{ measure }} as (

    select * from {{ ref('int_outcome_' ~ measure) }}

),
{% endfor %}

first_plans as (

    select * from {{ ref('int_outcome_first_plans') }}

),

absence as (

    select * from {{ ref('int_outcome_absence') }}

),

final as (

    {% for measure in measures %}
    select
        index_event_no,
        outcome,
        cast(0 as integer) as term,
        value,
        event_date,
        false as is_censored,
        cast(null as date) as follow_up_end
    from {{ measure }}

    union all

    {% endfor %}
    select
        index_event_no,
        outcome,
        cast(0 as integer) as term,
        value,
        event_date,
        is_censored,
        cast(null as date) as follow_up_end
    from first_plans

    union all

    select
        index_event_no,
        outcome,
        term,
        cast(value as double) as value,
        cast(null as date) as event_date,
        false as is_censored,
        follow_up_end
    from absence

)

select * from final
