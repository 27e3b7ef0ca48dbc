-- One row per child of an authority with its reconciled characteristics over all records (definitions, section 3).

with
characteristics as (

    select * from {{ ref('int_child_characteristics') }}

),

birth_months as (

    select * from {{ ref('int_child_birth_months') }}

),

disabilities as (

    select * from {{ ref('int_child_disabilities') }}

),

asylum as (

    select * from {{ ref('int_child_asylum') }}

),

links as (

    select * from {{ ref('int_child_pupils') }}

),

pupils_with_record as (

    select pupil_id from {{ ref('stg_school__census') }}
    union
    select pupil_id from {{ ref('stg_school__absence') }}

),

linked_children as (

    select
        links.child_id,
        bool_or(pupils_with_record.pupil_id is not null) as has_pupil_link,
        bool_or(links.is_pupil_in_two_authorities) as is_pupil_in_two_authorities
    from links
    left join pupils_with_record on links.pupil_id = pupils_with_record.pupil_id
    group by links.child_id

),

final as (

    select
        characteristics.child_id,
        characteristics.la_code,
        characteristics.first_return_year,
        characteristics.last_return_year,
        birth_months.birth_month,
        coalesce(birth_months.is_birth_month_expected, false) as is_birth_month_expected,
        coalesce(birth_months.is_birth_month_conflicting, false) as is_birth_month_conflicting,
        characteristics.gender,
        characteristics.is_gender_conflicting,
        characteristics.ethnicity,
        characteristics.ethnic_group_major,
        characteristics.is_ethnicity_conflicting,
        disabilities.is_disabled,
        disabilities.first_recorded_year as disability_first_recorded_year,
        disabilities.first_disabled_year,
        asylum.child_id is not null as is_uasc,
        asylum.asylum_known_from,
        coalesce(linked_children.has_pupil_link, false) as has_pupil_link,
        coalesce(linked_children.is_pupil_in_two_authorities, false) as is_pupil_in_two_authorities
    from characteristics
    left join birth_months on characteristics.child_id = birth_months.child_id
    left join disabilities on characteristics.child_id = disabilities.child_id
    left join asylum on characteristics.child_id = asylum.child_id
    left join linked_children on characteristics.child_id = linked_children.child_id

)

select * from final
