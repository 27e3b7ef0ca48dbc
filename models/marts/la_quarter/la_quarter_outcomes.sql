-- One row per programme, outcome, authority and quarter of the trial period (definitions, section 7).

with
la_quarter_outcomes as (

    select * from {{ ref('int_la_quarter_outcomes') }}

),

final as (

    select * from la_quarter_outcomes

)

select * from final
