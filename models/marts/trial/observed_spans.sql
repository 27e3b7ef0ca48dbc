-- One row per programme, outcome and authority: the first and last day of its observed span (definitions, section 4).

with
observed_spans as (

    select * from {{ ref('int_observed_spans') }}

),

final as (

    select * from observed_spans

)

select * from final
