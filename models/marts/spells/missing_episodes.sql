-- One row per time a looked-after child was missing or away from placement: authority, child, start and type
-- (definitions, section 3).

with
missing_episodes as (

    select * from {{ ref('int_missing_episodes') }}

),

final as (

    select * from missing_episodes

)

select * from final
