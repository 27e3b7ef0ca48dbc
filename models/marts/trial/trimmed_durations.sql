-- One row per programme, trimmed outcome and arm (definitions, section 5).

with
trimmed_durations as (

    select * from {{ ref('int_trimmed_durations') }}

),

final as (

    select * from trimmed_durations

)

select * from final
