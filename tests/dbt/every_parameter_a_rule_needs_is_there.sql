-- Each number that a rule of the warehouse reads has one row for all programmes: without it the rule would leave out
-- every record, silently. A row for one programme would be passed over as silently: spells and children are the same
-- for all.

with
parameters as (

    select * from {{ ref('parameters') }}

),

parameters_needed as (

    {% for parameter in [
        'referral_age_months_min', 'care_gap_days_max', 'pupil_premium_ncyear_max', 'school_age_from_years',
        'duration_fence_iqr_multiple', 'rate_per_children', 'care_leaver_age_min', 'care_leaver_age_max',
        'referral_age_years_max', 'quality_jump_sd', 'quality_jump_ratios_min', 'quality_jump_authorities_min',
        'quality_care_start_age_years_max', 'quality_school_age_to_years',
    ] %}
    select '{{ parameter }}' as parameter
    {{ 'union all' if not loop.last }}
    {% endfor %}

)

select
    'the parameter has a row with programme *' as broken_rule,
    parameters_needed.parameter
from parameters_needed
left join parameters
    on
        parameters_needed.parameter = parameters.parameter
        and parameters.programme = '*'
where parameters.parameter is null

union all

select
    'the parameter has no row for one programme' as broken_rule,
    parameters.parameter
from parameters
inner join parameters_needed on parameters.parameter = parameters_needed.parameter
where parameters.programme <> '*'
