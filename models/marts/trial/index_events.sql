-- One row per programme, index event, child and sequence (definitions, sections 4 and 6).

with
index_events as (

    select * from {{ ref('int_index_events') }}

),

final as (

    select * from index_events

)

select * from final
