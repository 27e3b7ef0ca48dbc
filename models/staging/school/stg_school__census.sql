-- One row per pupil record of a school census.
-- Names, types and codes of raw.school_census; every row is kept (definitions, section 2).

with
records as (

    select * from {{ source('raw', 'school_census') }}

),

final as (

    select
        return_id,
        academic_year,
        {{ census_term_name('census_term') }} as census_term,
        record_no,
        pupil_id,
        {{ code_or_null('nc_year') }} as nc_year,
        {{ nc_year_number('nc_year') }} as nc_year_number,
        is_fsm_eligible,
        is_ever_fsm_6,
        is_pupil_premium
    from records

)

select * from final
