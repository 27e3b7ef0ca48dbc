-- Nothing is lost and nothing made up: the assessments and section 47 enquiries that landed with a start are those of
-- the spells (definitions, section 3).

{%- set facts = [
    ('assessment', 'stg_cin__assessments', 'int_assessment_spells', 'assessment_start'),
    ('section 47 enquiry', 'stg_cin__section47', 'int_section47_enquiries', 'enquiry_start'),
] %}

with
referrals as (

    select * from {{ ref('stg_cin__referrals') }}

),

records as (

    {% for fact, staging, made, started in facts %}
    select distinct
        '{{ fact }}' as fact,
        facts.la_code,
        facts.child_id,
        referrals.referral_date,
        facts.{{ started }} as started_on
    from {{ ref(staging) }} as facts
    left join referrals
        on
            facts.return_id = referrals.return_id
            and facts.child_no = referrals.child_no
            and facts.referral_no = referrals.referral_no
    where facts.{{ started }} is not null
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

made as (

    {% for fact, staging, made, started in facts %}
    select
        '{{ fact }}' as fact,
        la_code,
        child_id,
        referral_date,
        {{ started }} as started_on
    from {{ ref(made) }}
    {{ 'union all' if not loop.last }}
    {% endfor %}

)

select
    records.child_id as child_in_records,
    made.child_id as child_in_spells,
    coalesce(records.fact, made.fact) as fact,
    coalesce(records.started_on, made.started_on) as started_on
from records
full outer join made
    on
        records.fact = made.fact
        and records.la_code = made.la_code
        and records.child_id = made.child_id
        and records.referral_date = made.referral_date
        and records.started_on = made.started_on
where records.child_id is null or made.child_id is null
