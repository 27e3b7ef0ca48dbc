-- One row per episode of care, with whether it starts a placement that counts: the first of the period, or one whose
-- reason says that placement and carer changed. Temporary placements do not count, nor does the return from one to the
-- same type of placement.

with
episodes as (

    select * from {{ ref('int_care_episodes_in_series') }}
    where not is_short_break

),

placement_codes as (

    select * from {{ ref('code_groups') }}
    where code_group = 'starts_placement'

),

temporary_codes as (

    select * from {{ ref('code_groups') }}
    where code_group = 'temporary_placement'

),

episodes_with_codes as (

    select
        episodes.la_code,
        episodes.child_id,
        episodes.series_no,
        episodes.episode_start,
        episodes.place_in_day,
        episodes.placement,
        placement_codes.code is not null as is_placement_code,
        temporary_codes.code is not null as is_temporary
    from episodes
    left join placement_codes on episodes.reason_new_episode = placement_codes.code
    left join temporary_codes on episodes.placement = temporary_codes.code

),

episodes_with_previous as (

    select
        *,
        lag(is_temporary) over (
            partition by la_code, child_id, series_no
            order by episode_start, place_in_day
        ) as is_after_temporary,
        lag(placement) over (
            partition by la_code, child_id, series_no, is_temporary
            order by episode_start, place_in_day
        ) as previous_placement,
        row_number() over (
            partition by la_code, child_id, series_no, is_temporary
            order by episode_start, place_in_day
        ) as place_among_alike
    from episodes_with_codes

),

final as (

    select
        la_code,
        child_id,
        series_no,
        episode_start,
        place_in_day,
        is_temporary,
        case
            when is_temporary then false
            when place_among_alike = 1 then true
            when not is_placement_code then false
            when is_after_temporary and placement = previous_placement then false
            else true
        end as is_new_placement
    from episodes_with_previous

)

select * from final
