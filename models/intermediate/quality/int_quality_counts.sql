-- One row per authority, return year and kind of count: how many referrals, assessments, new child protection plans,
-- entries to care and children in each return. Events count in the financial year of their date, and only in years
-- whose return is landed, where no event is a count of zero (docs/data_quality.md).

with
landed_modules as (

    select * from {{ ref('int_landed_modules') }}
    where la_code is not null

),

referrals as (

    select * from {{ ref('int_referral_spells') }}

),

assessments as (

    select * from {{ ref('int_assessment_spells') }}

),

cp_plans as (

    select * from {{ ref('int_cp_plan_spells') }}

),

care_periods as (

    select * from {{ ref('int_care_periods') }}
    where not is_left_truncated

),

children_of_return_years as (

    select * from {{ ref('int_quality_children_of_years') }}

),

{% set kinds = [
    ('referrals', 'cin', 'census', 'referrals', financial_year('referral_date'), 'true'),
    ('assessments', 'cin', 'census', 'assessments', financial_year('assessment_start'), 'true'),
    ('new_cp_plans', 'cin', 'census', 'cp_plans', financial_year('plan_start'), 'true'),
    ('children_cin', 'cin', 'census', 'children_of_return_years', 'return_year', 'is_in_cin'),
    ('care_entries', 'ssda903', 'episodes', 'care_periods', financial_year('care_start'), 'true'),
    ('children_ssda903', 'ssda903', 'episodes', 'children_of_return_years', 'return_year', 'is_in_ssda903'),
] %}
events_counted as (

    {% for kind, collection, module, events, event_year, condition in kinds %}
    select
        '{{ kind }}' as kind,
        la_code,
        {{ event_year }} as return_year,
        count(*) as n_events
    from {{ events }}
    where {{ condition }}
    group by la_code, {{ event_year }}
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

counts_expected as (

    {% for kind, collection, module, events, event_year, condition in kinds %}
    select
        '{{ kind }}' as kind,
        la_code,
        return_year
    from landed_modules
    where collection = '{{ collection }}' and module = '{{ module }}'
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

final as (

    select
        counts_expected.kind,
        counts_expected.la_code,
        counts_expected.return_year,
        cast(coalesce(events_counted.n_events, 0) as bigint) as n_events
    from counts_expected
    left join events_counted
        on
            counts_expected.kind = events_counted.kind
            and counts_expected.la_code = events_counted.la_code
            and counts_expected.return_year = events_counted.return_year

)

select * from final
