-- One row per programme, kind of index event, arm, financial year and covariate: index events and how many of them lack
-- it (definitions, section 6).

with
index_events as (

    select * from {{ ref('int_index_events') }}

),

covariates as (

    select * from {{ ref('covariates') }}

),

{% set names = [
    'gender', 'age_at_index', 'ethnicity', 'ethnic_group_major', 'is_disabled', 'is_disabled_by_index',
    'fsm_regression', 'fsm_cem', 'is_uasc', 'is_uasc_by_index', 'n_previous_plans', 'has_previous_plan',
    'primary_need', 'la_share_fsm', 'la_share_white_british', 'la_n_children', 'has_other_programme',
] %}
counts as (

    select
        programme,
        index_event,
        is_treated_authority,
        financial_year,
        count(*) as n_index_events,
        {% for name in names %}
        count({{ name }}) as n_{{ name }},
        {% endfor %}
        sum(case when has_pupil_link then 1 else 0 end) as n_has_pupil_link
    from index_events
    group by programme, index_event, is_treated_authority, financial_year

),

long_form as (

    {% for name in names + ['has_pupil_link'] %}
    select
        programme,
        index_event,
        is_treated_authority,
        financial_year,
        '{{ name }}' as covariate,
        n_index_events,
        n_index_events - n_{{ name }} as n_missing
    from counts
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

final as (

    select
        long_form.programme,
        long_form.index_event,
        long_form.is_treated_authority,
        long_form.financial_year,
        long_form.covariate,
        covariates.level,
        covariates.collection,
        cast(long_form.n_index_events as bigint) as n_index_events,
        cast(long_form.n_missing as bigint) as n_missing,
        long_form.n_missing / cast(long_form.n_index_events as double) as share_missing
    from long_form
    inner join covariates on long_form.covariate = covariates.covariate

)

select * from final
