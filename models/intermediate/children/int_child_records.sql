-- One row per record that describes a child: a Child element of a Children in Need return, a header or asylum record of
-- an SSDA903 return, or that it has episodes, missing episodes or a care leaver's record in one. The material from
-- which a child's characteristics are reconciled (definitions, section 3).

{{ config(materialized='view') }}

with
cin_children as (

    select * from {{ ref('stg_cin__children') }}

),

care_headers as (

    select * from {{ ref('stg_ssda903__header') }}

),

asylum_records as (

    select * from {{ ref('stg_ssda903__uasc') }}

),

children_with_episodes as (

    select distinct
        la_code,
        child_id,
        return_year
    from {{ ref('stg_ssda903__episodes') }}

),

children_without_header as (

    -- A module may come without the header. A return that repeats a birth month in many rows states it once.
    select
        la_code,
        child_id,
        return_year,
        birth_month
    from {{ ref('stg_ssda903__missing') }}

    union

    select
        la_code,
        child_id,
        return_year,
        birth_month
    from {{ ref('stg_ssda903__oc3') }}

),

final as (

    select
        la_code,
        child_id,
        return_year,
        'cin' as collection,
        birth_month,
        is_expected_birth,
        gender_code,
        ethnicity_code,
        pupil_id,
        former_pupil_id
    from cin_children

    union all

    select
        la_code,
        child_id,
        return_year,
        'ssda903' as collection,
        birth_month,
        false as is_expected_birth,
        gender_code,
        ethnicity_code,
        pupil_id,
        cast(null as string) as former_pupil_id
    from care_headers

    union all

    select
        la_code,
        child_id,
        return_year,
        'ssda903' as collection,
        birth_month,
        false as is_expected_birth,
        gender_code,
        cast(null as string) as ethnicity_code,
        cast(null as string) as pupil_id,
        cast(null as string) as former_pupil_id
    from asylum_records

    union all

    select
        la_code,
        child_id,
        return_year,
        'ssda903' as collection,
        cast(null as date) as birth_month,
        false as is_expected_birth,
        cast(null as string) as gender_code,
        cast(null as string) as ethnicity_code,
        cast(null as string) as pupil_id,
        cast(null as string) as former_pupil_id
    from children_with_episodes

    union all

    select
        la_code,
        child_id,
        return_year,
        'ssda903' as collection,
        birth_month,
        false as is_expected_birth,
        cast(null as string) as gender_code,
        cast(null as string) as ethnicity_code,
        cast(null as string) as pupil_id,
        cast(null as string) as former_pupil_id
    from children_without_header

)

select * from final
