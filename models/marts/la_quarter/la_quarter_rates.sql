-- One row per programme, measure, authority and quarter of the trial period (definitions, section 5).

with
la_quarter_rates as (

    select * from {{ ref('int_la_quarter_rates') }}

),

final as (

    select * from la_quarter_rates

)

select * from final
