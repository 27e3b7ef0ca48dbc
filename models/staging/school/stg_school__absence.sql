-- One row per pupil record of a year's absence table.
-- Names, types and codes of raw.school_absence; every row is kept (definitions, section 2).

with
records as (

    select * from {{ source('raw', 'school_absence') }}

),

final as (

    select
        return_id,
        academic_year,
        record_no,
        pupil_id,
        {{ code_or_null('nc_year') }} as nc_year,
        {{ nc_year_number('nc_year') }} as nc_year_number,
        sessions_possible_autumn,
        authorised_absence_autumn,
        unauthorised_absence_autumn,
        sessions_possible_spring,
        authorised_absence_spring,
        unauthorised_absence_spring,
        sessions_possible_summer,
        authorised_absence_summer,
        unauthorised_absence_summer
    from records

)

select * from final
