-- One row per child linked to school records and academic year in which it has one: free meals at the spring census,
-- within six years, and by pupil premium in the infant years, when every pupil gets free meals
-- (definitions, section 3). Where a child links to several pupils the maximum counts.

with
links as (

    select * from {{ ref('int_child_pupils') }}

),

census_records as (

    select * from {{ ref('stg_school__census') }}

),

absence_records as (

    select * from {{ ref('stg_school__absence') }}

),

parameters as (

    select * from {{ ref('parameters') }}

),

infant_rule as (

    select parameter_value as pupil_premium_ncyear_max
    from parameters
    where programme = '*' and parameter = 'pupil_premium_ncyear_max'

),

school_records as (

    select
        pupil_id,
        academic_year,
        census_term,
        nc_year_number,
        is_fsm_eligible,
        is_ever_fsm_6,
        is_pupil_premium,
        true as is_census
    from census_records

    union all

    select
        pupil_id,
        academic_year,
        cast(null as string) as census_term,
        nc_year_number,
        cast(null as boolean) as is_fsm_eligible,
        cast(null as boolean) as is_ever_fsm_6,
        cast(null as boolean) as is_pupil_premium,
        false as is_census
    from absence_records

),

final as (

    select
        links.child_id,
        school_records.academic_year,
        bool_or(school_records.is_census) as has_census_record,
        bool_or(school_records.is_census and school_records.nc_year_number is not null) as has_school_year_record,
        bool_or(coalesce(school_records.census_term = 'spring' and school_records.is_fsm_eligible, false))
            as is_fsm_eligible_in_spring,
        bool_or(coalesce(school_records.is_ever_fsm_6, false)) as is_ever_fsm_6,
        bool_or(
            coalesce(
                school_records.is_pupil_premium
                and school_records.nc_year_number between 0 and infant_rule.pupil_premium_ncyear_max,
                false
            )
        ) as is_infant_pupil_premium
    from links
    inner join school_records on links.pupil_id = school_records.pupil_id
    cross join infant_rule
    group by links.child_id, school_records.academic_year

)

select * from final
