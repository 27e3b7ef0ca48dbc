-- What happened to one child, in order: referrals, child protection plans and periods of care. Give the pseudonym with
-- --vars '{child_id: ...}'; without one it shows the child with the most events.

with
referral_spells as (

    select * from {{ ref('referral_spells') }}

),

cp_plan_spells as (

    select * from {{ ref('cp_plan_spells') }}

),

care_periods as (

    select * from {{ ref('care_periods') }}

),

events as (

    select
        la_code,
        child_id,
        'referral' as kind_of_event,
        referral_date as started_on,
        closure_date as ended_on,
        'source ' || coalesce(referral_source, 'not stated')
        || ', need ' || coalesce(primary_need, 'not stated')
        || case when is_nfa_at_referral then ', no further action' else '' end as description
    from referral_spells

    union all

    select
        la_code,
        child_id,
        'child protection plan' as kind_of_event,
        plan_start as started_on,
        plan_end as ended_on,
        'category ' || coalesce(latest_category, 'not stated') as description
    from cp_plan_spells

    union all

    select
        la_code,
        child_id,
        'period of care' as kind_of_event,
        care_start as started_on,
        care_end as ended_on,
        'legal status ' || coalesce(first_legal_status, 'not stated')
        || ', placements ' || cast(n_placements as string) as description
    from care_periods

),

child_chosen as (

    {% if var('child_id', none) %}
    select '{{ var("child_id") }}' as child_id
    {% else %}
    select child_id
    from events
    group by child_id
    order by count(*) desc, child_id
    limit 1
    {% endif %}

)

select
    events.la_code,
    events.child_id,
    events.kind_of_event,
    events.started_on,
    events.ended_on,
    events.description
from events
inner join child_chosen on events.child_id = child_chosen.child_id
order by events.started_on, events.kind_of_event
