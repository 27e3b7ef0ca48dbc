-- One row per child: gender and ethnicity take the one known value over all records, and are missing where two known
-- values conflict (definitions, section 3). Gender is 0 where every record that has a code says not known.

with
child_records as (

    select * from {{ ref('int_child_records') }}

),

gender_codes as (

    select * from {{ ref('gender_codes') }}

),

known_ethnicities as (

    select * from {{ ref('ethnic_groups') }}
    where major_group is not null

),

values_over_all_records as (

    select
        child_records.child_id,
        min(child_records.la_code) as la_code,
        min(child_records.return_year) as first_return_year,
        max(child_records.return_year) as last_return_year,
        min(case when gender_codes.is_known then gender_codes.gender end) as lowest_gender,
        max(case when gender_codes.is_known then gender_codes.gender end) as highest_gender,
        max(case when not gender_codes.is_known then gender_codes.gender end) as unknown_gender,
        min(known_ethnicities.ethnicity_code) as lowest_ethnicity,
        max(known_ethnicities.ethnicity_code) as highest_ethnicity
    from child_records
    left join gender_codes on child_records.gender_code = gender_codes.code
    left join known_ethnicities on child_records.ethnicity_code = known_ethnicities.ethnicity_code
    group by child_records.child_id

),

values_reconciled as (

    select
        child_id,
        la_code,
        first_return_year,
        last_return_year,
        case
            when lowest_gender = highest_gender then lowest_gender
            when lowest_gender is null then unknown_gender
        end as gender,
        coalesce(lowest_gender <> highest_gender, false) as is_gender_conflicting,
        case when lowest_ethnicity = highest_ethnicity then lowest_ethnicity end as ethnicity,
        coalesce(lowest_ethnicity <> highest_ethnicity, false) as is_ethnicity_conflicting
    from values_over_all_records

),

final as (

    select
        values_reconciled.child_id,
        values_reconciled.la_code,
        values_reconciled.first_return_year,
        values_reconciled.last_return_year,
        values_reconciled.gender,
        values_reconciled.is_gender_conflicting,
        values_reconciled.ethnicity,
        known_ethnicities.major_group as ethnic_group_major,
        values_reconciled.is_ethnicity_conflicting
    from values_reconciled
    left join known_ethnicities on values_reconciled.ethnicity = known_ethnicities.ethnicity_code

)

select * from final
