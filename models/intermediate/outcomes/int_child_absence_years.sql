-- One row per child with an index event followed by school terms and academic year in which it has an absence record:
-- sessions possible and missed without authorisation by term, added up over the pupils the child links to
-- (definitions, section 5).

with
index_events as (

    select * from {{ ref('int_outcome_windows') }}
    where measure in ('term_absence', 'pooled_absence')

),

links as (

    select * from {{ ref('int_child_pupils') }}

),

absence_records as (

    select * from {{ ref('stg_school__absence') }}

),

children_followed as (

    select distinct child_id from index_events

),

final as (

    select
        links.child_id,
        absence_records.academic_year,
        sum(absence_records.sessions_possible_autumn) as n_possible_autumn,
        sum(absence_records.unauthorised_absence_autumn) as n_unauthorised_autumn,
        sum(absence_records.sessions_possible_spring) as n_possible_spring,
        sum(absence_records.unauthorised_absence_spring) as n_unauthorised_spring,
        sum(absence_records.sessions_possible_summer) as n_possible_summer,
        sum(absence_records.unauthorised_absence_summer) as n_unauthorised_summer
    from children_followed
    inner join links on children_followed.child_id = links.child_id
    inner join absence_records on links.pupil_id = absence_records.pupil_id
    group by links.child_id, absence_records.academic_year

)

select * from final
