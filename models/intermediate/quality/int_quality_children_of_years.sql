-- One row per authority, child and return year that carries the child: what its reconciled characteristics lack, and
-- whether its age can be. An age is impossible where the child is certainly over the highest age when the return year
-- begins, or would be conceived only after it ends. Of school age is who reached it by the end of the return year and
-- was not past the last age of compulsory school when it began; nobody is, for want of anything to link to, before
-- school records are landed (docs/data_quality.md).

with
child_records as (

    select * from {{ ref('int_child_records') }}

),

children as (

    select * from {{ ref('int_children') }}

),

landed_modules as (

    select * from {{ ref('int_landed_modules') }}

),

parameters as (

    select * from {{ ref('parameters') }}
    where programme = '*'

),

age_rules as (

    select
        -max(case when parameter = 'referral_age_months_min' then parameter_value end) as months_before_birth_max,
        max(case when parameter = 'referral_age_years_max' then parameter_value end) as age_years_max,
        max(case when parameter = 'school_age_from_years' then parameter_value end) as school_age_from_years,
        max(case when parameter = 'quality_school_age_to_years' then parameter_value end) as school_age_to_years
    from parameters

),

school_records as (

    select count(*) as n_landed
    from landed_modules
    where collection in ('school_census', 'school_absence')

),

children_of_return_years as (

    select
        la_code,
        return_year,
        child_id,
        bool_or(collection = 'cin') as is_in_cin,
        bool_or(collection = 'ssda903') as is_in_ssda903
    from child_records
    group by la_code, return_year, child_id

),

children_with_ages as (

    select
        children_of_return_years.*,
        children.is_gender_conflicting,
        children.is_ethnicity_conflicting,
        children.is_birth_month_conflicting,
        children.has_pupil_link,
        children.birth_month is null as is_birth_month_missing,
        -- Where known values conflict, the conflict is counted, not the lack.
        not children.is_gender_conflicting and coalesce(children.gender, '0') = '0' as is_gender_missing,
        not children.is_ethnicity_conflicting and children.ethnicity is null as is_ethnicity_missing,
        {{ calendar_months_between(
            'children.birth_month', return_year_start('children_of_return_years.return_year')
        ) }} as months_at_start,
        {{ calendar_months_between(
            'children.birth_month', return_year_end('children_of_return_years.return_year')
        ) }} as months_at_end
    from children_of_return_years
    inner join children on children_of_return_years.child_id = children.child_id

),

final as (

    select
        children_with_ages.la_code,
        children_with_ages.return_year,
        children_with_ages.child_id,
        children_with_ages.is_in_cin,
        children_with_ages.is_in_ssda903,
        children_with_ages.is_gender_conflicting,
        children_with_ages.is_ethnicity_conflicting,
        children_with_ages.is_birth_month_conflicting,
        children_with_ages.is_gender_missing,
        children_with_ages.is_ethnicity_missing,
        children_with_ages.is_birth_month_missing,
        coalesce(
            children_with_ages.months_at_start > 12 * age_rules.age_years_max
            or children_with_ages.months_at_end < -age_rules.months_before_birth_max,
            false
        ) as is_age_impossible,
        coalesce(
            school_records.n_landed > 0
            and children_with_ages.months_at_end >= 12 * age_rules.school_age_from_years
            and children_with_ages.months_at_start < 12 * (age_rules.school_age_to_years + 1),
            false
        ) as is_of_school_age,
        children_with_ages.has_pupil_link as is_linked_to_school
    from children_with_ages
    cross join age_rules
    cross join school_records

)

select * from final
