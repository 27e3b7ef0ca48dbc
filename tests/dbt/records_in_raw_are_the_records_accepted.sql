-- For every return of which nothing was replaced, the records in the warehouse are those that landing says it accepted.
-- Codes that a record repeats count once in the warehouse: there can be fewer of them, but none only where none was
-- accepted.

{%- set exact = [
    ('Child', 'stg_cin__children'),
    ('CINdetails', 'stg_cin__referrals'),
    ('Assessments', 'stg_cin__assessments'),
    ('Section47', 'stg_cin__section47'),
    ('CINPlanDates', 'stg_cin__plans'),
    ('ChildProtectionPlans', 'stg_cin__cp_plans'),
    ('Reviews', 'stg_cin__cp_reviews'),
    ('header', 'stg_ssda903__header'),
    ('episodes', 'stg_ssda903__episodes'),
    ('uasc', 'stg_ssda903__uasc'),
    ('missing', 'stg_ssda903__missing'),
    ('oc3', 'stg_ssda903__oc3'),
] %}
{%- set repeats_count_once = [
    ('Disability', 'stg_cin__disabilities'),
    ('AssessmentFactors', 'stg_cin__assessment_factors'),
] %}

with
returns as (

    select * from {{ ref('stg_manifest__returns') }}
    where
        collection in ('cin', 'ssda903')
        and not is_superseded
        and coalesce(superseded_modules, '') = ''

),

return_counts as (

    select * from {{ ref('stg_manifest__return_counts') }}

),

record_types as (

    {% for record_type, model in exact + repeats_count_once %}
    select
        '{{ record_type }}' as record_type,
        {{ 'false' if (record_type, model) in exact else 'true' }} as is_repeat_counted_once
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

records as (

    {% for record_type, model in exact + repeats_count_once %}
    select
        return_id,
        '{{ record_type }}' as record_type,
        count(*) as n_records
    from {{ ref(model) }}
    group by return_id
    {{ 'union all' if not loop.last }}
    {% endfor %}

)

select
    return_counts.return_id,
    return_counts.record_type,
    return_counts.n_accepted,
    coalesce(records.n_records, 0) as n_records
from return_counts
inner join returns on return_counts.return_id = returns.return_id
inner join record_types on return_counts.record_type = record_types.record_type
left join records
    on
        return_counts.return_id = records.return_id
        and return_counts.record_type = records.record_type
where
    return_counts.n_accepted < coalesce(records.n_records, 0)
    or (not record_types.is_repeat_counted_once and return_counts.n_accepted > coalesce(records.n_records, 0))
    or (return_counts.n_accepted > 0 and records.n_records is null)
