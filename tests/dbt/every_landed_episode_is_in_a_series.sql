-- Nothing is lost and nothing made up: each day on which a landed episode starts is in one period of care or series of
-- short breaks, unless a later return withdraws what starts on it (definitions, section 3).

with
records as (

    select distinct
        la_code,
        child_id,
        episode_start
    from {{ ref('stg_ssda903__episodes') }}

),

episodes as (

    select distinct
        la_code,
        child_id,
        episode_start
    from {{ ref('int_care_episodes') }}

    union

    select
        la_code,
        child_id,
        episode_start
    from {{ ref('int_care_episode_facts') }}
    where withdrawn_by_return_year is not null

)

select
    records.child_id as child_in_records,
    episodes.child_id as child_in_episodes,
    coalesce(records.episode_start, episodes.episode_start) as episode_start
from records
full outer join episodes
    on
        records.la_code = episodes.la_code
        and records.child_id = episodes.child_id
        and records.episode_start = episodes.episode_start
where records.child_id is null or episodes.child_id is null
