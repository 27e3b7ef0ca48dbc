-- One row per programme, kind of index event, arm, financial year and covariate (definitions, section 6).

with
covariate_missingness as (

    select * from {{ ref('int_covariate_missingness') }}

),

final as (

    select * from covariate_missingness

)

select * from final
