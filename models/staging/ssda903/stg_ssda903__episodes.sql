-- One row per episodes record of an SSDA903 return.
-- Names, types and codes of raw.ssda903_episodes; every row is kept (definitions, section 2).

with
records as (

    select * from {{ source('raw', 'ssda903_episodes') }}

),

final as (

    select
        return_id,
        la_code,
        return_year,
        record_no,
        child_id,
        episode_start,
        {{ code_or_null('reason_new_episode') }} as reason_new_episode,
        {{ code_or_null('legal_status') }} as legal_status,
        {{ code_or_null('need_code') }} as need_code,
        {{ code_or_null('placement') }} as placement,
        {{ code_or_null('placement_provider') }} as placement_provider,
        episode_end,
        {{ code_or_null('reason_episode_ceased') }} as reason_episode_ceased,
        {{ code_or_null('reason_place_change') }} as reason_place_change,
        urn
    from records

)

select * from final
