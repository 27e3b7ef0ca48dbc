-- One row: the number of seed tables. It reads every seed, so that a seed that fails its tests stops every model that
-- waits at this gate (see dbt_project.yml).

{%- set seeds = [
    ref('bank_holidays'),
    ref('census_codes'),
    ref('coarsening'),
    ref('code_groups'),
    ref('column_mappings'),
    ref('covariates'),
    ref('data_quality_checks'),
    ref('data_quality_landing_rules'),
    ref('ethnic_groups'),
    ref('exclusions'),
    ref('gender_codes'),
    ref('la_child_population'),
    ref('local_authorities'),
    ref('match_reviews'),
    ref('match_variants'),
    ref('matching_strata'),
    ref('other_programmes'),
    ref('outcome_code_groups'),
    ref('outcome_collections'),
    ref('outcome_measures'),
    ref('outcomes'),
    ref('parameters'),
    ref('programmes'),
    ref('regression_covariates'),
    ref('school_terms'),
    ref('shock_outcomes'),
    ref('shocks'),
    ref('sites'),
    ref('specifications'),
    ref('synthetic_calibration'),
    ref('synthetic_la_ethnicity'),
    ref('synthetic_la_referrals'),
    ref('synthetic_parameters'),
    ref('treatment_variants')
] %}

select cast({{ seeds | length }} as integer) as n_seeds
