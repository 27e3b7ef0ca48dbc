-- For every return that nothing replaced, the records in the warehouse are those that landing says it accepted.

with
returns as (

    select * from {{ ref('stg_manifest__returns') }}
    where collection = 'cin' and not is_superseded

),

return_counts as (

    select * from {{ ref('stg_manifest__return_counts') }}

),

records as (

    {% for record_type, model in [
        ('Child', 'stg_cin__children'),
        ('CINdetails', 'stg_cin__referrals'),
        ('Assessments', 'stg_cin__assessments'),
        ('Section47', 'stg_cin__section47'),
        ('CINPlanDates', 'stg_cin__plans'),
        ('ChildProtectionPlans', 'stg_cin__cp_plans'),
    ] %}
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
left join records
    on
        return_counts.return_id = records.return_id
        and return_counts.record_type = records.record_type
where
    return_counts.record_type in (
        'Child', 'CINdetails', 'Assessments', 'Section47', 'CINPlanDates', 'ChildProtectionPlans'
    )
    and return_counts.n_accepted <> coalesce(records.n_records, 0)
