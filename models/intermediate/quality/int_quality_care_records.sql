-- One row per authority, return year and check of further records about looked-after children: episodes repeated in
-- every particular within a return, and times missing and placements for adoption that end before they begin
-- (docs/data_quality.md).

with
episode_records as (

    select * from {{ ref('stg_ssda903__episodes') }}

),

adoption_records as (

    select * from {{ ref('stg_ssda903__placed_for_adoption') }}

),

missing_episodes as (

    select * from {{ ref('int_missing_episodes') }}

),

episodes_in_return as (

    select
        la_code,
        return_year,
        count(*) as n_times
    from episode_records
    group by
        la_code, return_year, return_id, child_id, episode_start, episode_end, reason_new_episode,
        reason_episode_ceased, legal_status, placement, need_code

),

counts_of_episodes as (

    select
        la_code,
        return_year,
        sum(n_times) as n_records,
        sum(n_times - 1) as n_repeated
    from episodes_in_return
    group by la_code, return_year

),

counts_of_adoptions as (

    select
        la_code,
        return_year,
        count(*) as n_records,
        {{ count_where('placed_ceased_date < placed_date') }} as n_end_before_start
    from adoption_records
    group by la_code, return_year

),

counts_of_missing_episodes as (

    select
        la_code,
        last_return_year as return_year,
        count(*) as n_missing_episodes,
        {{ count_where('is_end_before_start') }} as n_end_before_start
    from missing_episodes
    group by la_code, last_return_year

),

all_checks as (

    {{ checks_from('counts_of_episodes', [('identical_care_episode', 'n_records', 'n_repeated')]) }}
    union all
    {{ checks_from('counts_of_adoptions', [
        ('adoption_placement_end_before_start', 'n_records', 'n_end_before_start'),
    ]) }}
    union all
    {{ checks_from('counts_of_missing_episodes', [
        ('missing_episode_end_before_start', 'n_missing_episodes', 'n_end_before_start'),
    ]) }}

),

final as (

    select * from all_checks

)

select * from final
