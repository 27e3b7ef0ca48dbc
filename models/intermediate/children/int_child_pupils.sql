-- One row per child and pupil pseudonym that any of its records carries, present or former (definitions, section 2).

with
child_records as (

    select * from {{ ref('int_child_records') }}

),

links as (

    select
        child_id,
        la_code,
        pupil_id
    from child_records
    where pupil_id is not null

    union all

    select
        child_id,
        la_code,
        former_pupil_id as pupil_id
    from child_records
    where former_pupil_id is not null

),

distinct_links as (

    select
        child_id,
        pupil_id,
        min(la_code) as la_code
    from links
    group by child_id, pupil_id

),

final as (

    select
        child_id,
        pupil_id,
        la_code,
        min(la_code) over (partition by pupil_id)
        <> max(la_code) over (partition by pupil_id) as is_pupil_in_two_authorities
    from distinct_links

)

select * from final
