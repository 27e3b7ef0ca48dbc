-- One row per programme, outcome, authority and step of the flow of children (definitions, section 4).

with
sample_flow_counts as (

    select * from {{ ref('int_sample_flow') }}

),

final as (

    select * from sample_flow_counts

)

select * from final
