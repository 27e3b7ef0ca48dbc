-- One row per child with an asylum record, which only SSDA903 has: the day from which it is known. A record is dated
-- by the first episode of the child in the same year's return, and without one by the end of that return
-- (definitions, section 3).

with
asylum_records as (

    select * from {{ ref('stg_ssda903__uasc') }}

),

episodes as (

    select * from {{ ref('stg_ssda903__episodes') }}

),

asylum_children as (

    select distinct child_id from asylum_records

),

first_episode_in_return as (

    select
        episodes.child_id,
        episodes.return_year,
        min(episodes.episode_start) as first_episode_start
    from episodes
    inner join asylum_children on episodes.child_id = asylum_children.child_id
    group by episodes.child_id, episodes.return_year

),

final as (

    select
        asylum_records.child_id,
        min(
            coalesce(
                first_episode_in_return.first_episode_start,
                {{ return_year_end('asylum_records.return_year') }}
            )
        ) as asylum_known_from
    from asylum_records
    left join first_episode_in_return
        on
            asylum_records.child_id = first_episode_in_return.child_id
            and asylum_records.return_year = first_episode_in_return.return_year
    group by asylum_records.child_id

)

select * from final
