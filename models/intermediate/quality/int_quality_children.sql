-- One row per authority, return year and check of the children of a return: repeated, unborn, stated differently by
-- different records, of an age that cannot be, in two authorities, or not found in school records. What is reconciled
-- over all records counts in every return year that carries the child (docs/data_quality.md).

with
cin_children as (

    select * from {{ ref('stg_cin__children') }}

),

children_of_return_years as (

    select * from {{ ref('int_quality_children_of_years') }}

),

pupils_of_return_years as (

    select distinct
        la_code,
        return_year,
        child_id,
        pupil_id
    from {{ ref('int_child_records') }}
    where pupil_id is not null

),

child_pupils as (

    select * from {{ ref('int_child_pupils') }}

),

children_in_return as (

    select
        la_code,
        return_year,
        child_id,
        return_id,
        count(*) as n_times,
        {{ count_where('is_expected_birth') }} as n_unborn
    from cin_children
    group by la_code, return_year, child_id, return_id

),

counts_of_records as (

    select
        la_code,
        return_year,
        sum(n_times) as n_records,
        sum(n_times - 1) as n_repeated,
        sum(n_unborn) as n_unborn
    from children_in_return
    group by la_code, return_year

),

counts_of_children as (

    select
        la_code,
        return_year,
        count(*) as n_children,
        {{ count_where('is_gender_conflicting') }} as n_gender_conflicting,
        {{ count_where('is_ethnicity_conflicting') }} as n_ethnicity_conflicting,
        {{ count_where('is_birth_month_conflicting') }} as n_birth_month_conflicting,
        {{ count_where('is_birth_month_missing') }} as n_birth_month_missing,
        {{ count_where('is_gender_missing') }} as n_gender_missing,
        {{ count_where('is_ethnicity_missing') }} as n_ethnicity_missing,
        {{ count_where('not is_birth_month_missing') }} as n_of_known_age,
        {{ count_where('is_age_impossible') }} as n_age_impossible,
        {{ count_where('is_of_school_age') }} as n_of_school_age,
        {{ count_where('is_of_school_age and not is_linked_to_school') }} as n_not_linked
    from children_of_return_years
    group by la_code, return_year

),

counts_of_pupils as (

    select
        pupils_of_return_years.la_code,
        pupils_of_return_years.return_year,
        count(*) as n_pupils,
        {{ count_where('child_pupils.is_pupil_in_two_authorities') }} as n_in_two_authorities
    from pupils_of_return_years
    inner join child_pupils
        on
            pupils_of_return_years.child_id = child_pupils.child_id
            and pupils_of_return_years.pupil_id = child_pupils.pupil_id
    group by pupils_of_return_years.la_code, pupils_of_return_years.return_year

),

all_checks as (

    {{ checks_from('counts_of_records', [
        ('duplicate_child_in_return', 'n_records', 'n_repeated'),
        ('unborn_child', 'n_records', 'n_unborn'),
    ]) }}
    union all
    {{ checks_from('counts_of_children', [
        ('conflicting_gender', 'n_children', 'n_gender_conflicting'),
        ('conflicting_ethnicity', 'n_children', 'n_ethnicity_conflicting'),
        ('conflicting_birth_month', 'n_children', 'n_birth_month_conflicting'),
        ('missing_birth_month', 'n_children', 'n_birth_month_missing'),
        ('missing_gender', 'n_children', 'n_gender_missing'),
        ('missing_ethnicity', 'n_children', 'n_ethnicity_missing'),
        ('impossible_age_in_return', 'n_of_known_age', 'n_age_impossible'),
        ('not_linked_to_school', 'n_of_school_age', 'n_not_linked'),
    ]) }}
    union all
    {{ checks_from('counts_of_pupils', [
        ('pupil_in_two_authorities', 'n_pupils', 'n_in_two_authorities'),
    ]) }}

),

final as (

    select * from all_checks

)

select * from final
