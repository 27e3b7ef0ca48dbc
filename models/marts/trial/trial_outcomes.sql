-- One row per programme, outcome, child, sequence and term (definitions, section 5).

with
trial_outcomes as (

    select * from {{ ref('int_trial_outcomes') }}

),

final as (

    select * from trial_outcomes

)

select * from final
