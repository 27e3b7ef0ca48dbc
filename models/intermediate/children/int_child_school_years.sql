-- One row per child linked to school census records and academic year in which it has one: free meals at the spring
-- census, within six years, and by pupil premium in the infant years, when every pupil gets free meals
-- (definitions, section 3). Where a child links to several pupils the maximum counts.

with
links as (

    select * from {{ ref('int_child_pupils') }}

),

census_records as (

    select * from {{ ref('stg_school__census') }}

),

infant_rule as (

    select parameter_value as pupil_premium_ncyear_max
    from {{ ref('parameters') }}
    where programme = '*' and parameter = 'pupil_premium_ncyear_max'

),

final as (

    select
        links.child_id,
        census_records.academic_year,
        bool_or(census_records.nc_year_number is not null) as has_school_year_record,
        bool_or(coalesce(census_records.census_term = 'spring' and census_records.is_fsm_eligible, false))
            as is_fsm_eligible_in_spring,
        bool_or(coalesce(census_records.is_ever_fsm_6, false)) as is_ever_fsm_6,
        bool_or(
            coalesce(
                census_records.is_pupil_premium
                and census_records.nc_year_number between 0 and infant_rule.pupil_premium_ncyear_max,
                false
            )
        ) as is_infant_pupil_premium
    from links
    inner join census_records on links.pupil_id = census_records.pupil_id
    cross join infant_rule
    group by links.child_id, census_records.academic_year

)

select * from final
