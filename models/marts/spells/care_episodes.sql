-- One row per episode of care or of short breaks, each once over all returns (definitions, section 3).

with
care_episodes as (

    select * from {{ ref('int_care_episodes') }}

),

final as (

    select * from care_episodes

)

select * from final
